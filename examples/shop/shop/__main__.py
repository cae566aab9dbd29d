"""`python -m shop`: place an order, and list what was ordered so far."""

from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

import reflex_orm as orm

from .models import Customer, Order, OrderLine, Product


def place_order(session: Session, email: str, product: str, quantity: int) -> Order:
    """Order `quantity` of a product; the customer and the product are made when new."""
    customer = session.scalar(select(Customer).filter_by(email=email)) or Customer(
        name=email.partition("@")[0].title(), email=email
    )
    item = session.scalar(select(Product).filter_by(name=product)) or Product(
        name=product, price=Decimal("12.50")
    )
    order = Order(customer=customer, lines=[OrderLine(product=item, quantity=quantity)])
    session.add(order)
    return order


def main() -> None:
    with orm.session() as session:
        place_order(session, "ada@example.com", "teapot", 2)
        session.commit()
        spent = func.sum(OrderLine.quantity * Product.price)
        rows = session.execute(
            select(Customer.name, func.count(Order.id.distinct()), spent)
            .join(Customer.orders)
            .join(Order.lines)
            .join(OrderLine.product)
            .group_by(Customer.name)
        )
        for name, orders, total in rows:
            print(f"{name}: {orders} order(s), {total}")


if __name__ == "__main__":
    main()
