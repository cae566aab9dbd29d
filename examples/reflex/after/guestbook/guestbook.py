"""A guestbook on a DeclarativeBase and reflex_orm."""

import reflex as rx
import reflex_orm as orm
from sqlalchemy import func, select

from guestbook.models import Base, Entry

rx.ModelRegistry.register(Base)  # for the check of the schema in `reflex run`


class State(rx.State):
    entries: list[Entry] = []
    cities: int = 0

    @rx.event
    def load(self) -> None:
        with orm.session() as s:
            self.entries = list(s.scalars(select(Entry).order_by(Entry.id.desc())))

    @rx.event
    def sign(self, form: dict[str, str]) -> None:
        with orm.session() as s:
            s.add(Entry(author=form["author"], text=form["text"], city=form["city"]))
            s.commit()
        self.load()

    @rx.event
    async def remove(self, entry_id: int) -> None:
        async with orm.asession() as s:
            entry = await s.get(Entry, entry_id)
            if entry is not None:
                await s.delete(entry)
                await s.commit()
        self.load()

    @rx.event(background=True)
    async def count_cities(self) -> None:
        async with orm.asession() as s:
            cities = (await s.scalars(select(func.count(Entry.city.distinct())))).one()
        async with self:
            self.cities = cities


def index() -> rx.Component:
    return rx.container(
        rx.form(
            rx.input(name="author", placeholder="your name"),
            rx.input(name="city", placeholder="your city"),
            rx.text_area(name="text", placeholder="your message"),
            rx.button("Sign"),
            on_submit=State.sign,
            reset_on_submit=True,
        ),
        rx.foreach(
            State.entries,
            lambda e: rx.text(
                e.author, " (", e.city, "): ", e.text, on_double_click=State.remove(e.id)
            ),
        ),
        rx.text(State.cities, " cities", on_click=State.count_cities),
    )


app = rx.App()
app.add_page(index, on_load=State.load)
