import reflex as rx

# The database is in REFLEX_DB_URL and REFLEX_ASYNC_DB_URL, which Reflex, reflex_orm and
# reflex-db all read.
config = rx.Config(app_name="guestbook")
