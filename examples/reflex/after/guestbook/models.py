"""The models: SQLAlchemy's, without Reflex."""

from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column


class Base(MappedAsDataclass, DeclarativeBase):  # Reflex sends a dataclass to the browser as it is
    pass


class Entry(Base):
    __tablename__ = "entry"  # rx.Model's: the class's name in lower case

    id: Mapped[int] = mapped_column(init=False, primary_key=True)
    author: Mapped[str]
    text: Mapped[str]
    city: Mapped[str] = mapped_column(default="", server_default="")
