"""A guestbook on rx.Model, rx.session and rx.asession."""

import reflex as rx
from sqlmodel import func, select


class Entry(rx.Model, table=True):
    author: str
    text: str
    city: str = ""


class State(rx.State):
    entries: list[Entry] = []
    cities: int = 0

    @rx.event
    def load(self) -> None:
        with rx.session() as s:
            self.entries = s.exec(Entry.select().order_by(Entry.id.desc())).all()

    @rx.event
    def sign(self, form: dict[str, str]) -> None:
        with rx.session() as s:
            s.add(Entry(author=form["author"], text=form["text"], city=form["city"]))
            s.commit()
        self.load()

    @rx.event
    async def remove(self, entry_id: int) -> None:
        async with rx.asession() as s:
            entry = await s.get(Entry, entry_id)
            if entry is not None:
                await s.delete(entry)
                await s.commit()
        self.load()

    @rx.event(background=True)
    async def count_cities(self) -> None:
        async with rx.asession() as s:
            cities = (await s.exec(select(func.count(Entry.city.distinct())))).one()
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
