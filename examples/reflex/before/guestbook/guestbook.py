"""A guestbook on rx.Model and rx.session."""

import reflex as rx


class Entry(rx.Model, table=True):
    author: str
    text: str
    city: str = ""


class State(rx.State):
    entries: list[Entry] = []

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
        rx.foreach(State.entries, lambda e: rx.text(e.author, " (", e.city, "): ", e.text)),
    )


app = rx.App()
app.add_page(index, on_load=State.load)
