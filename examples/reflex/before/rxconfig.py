import reflex as rx

config = rx.Config(
    app_name="guestbook",
    db_url="sqlite:///guestbook.db",
    async_db_url="sqlite+aiosqlite:///guestbook.db",
)
