import reflex as rx

config = rx.Config(app_name="guestbook", db_url="sqlite:///guestbook.db")
