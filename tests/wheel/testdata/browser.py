"""What the guestbook's page does in a browser, by the framework's event endpoint.

Arguments: the backend's address. It prints what the page would show.
"""

import sys
import threading

import socketio

STATE = "reflex___state____state.guestbook___guestbook____state"
LIMIT = 30  # seconds, for an answer

shown: dict[str, object] = {}
changed = threading.Condition()
client = socketio.Client()


@client.on("event", namespace="/_event")
def receive(update: dict) -> None:
    with changed:
        for name, value in update.get("delta", {}).get(STATE, {}).items():
            shown[name.removesuffix("_rx_state_")] = value
        changed.notify_all()


def do(handler: str, name: str, expected: object, **payload: object) -> None:
    """Send an event, and wait until the page shows what is expected."""
    client.emit("event", {"name": f"{STATE}.{handler}", "payload": payload}, namespace="/_event")
    with changed:
        if not changed.wait_for(lambda: view(name) == expected, LIMIT):
            sys.exit(f"{handler}: {name} is {view(name)!r}, not {expected!r}")
    print(handler, view(name))


def view(name: str) -> object:
    value = shown.get(name)
    return [entry["author"] for entry in value] if isinstance(value, list) else value


client.connect(
    f"{sys.argv[1]}?token=a-browser",
    socketio_path="_event",
    namespaces=["/_event"],
    transports=["websocket"],
    wait_timeout=LIMIT,
)
form = {"author": "Alan", "text": "hello", "city": "Cambridge"}
do("load", "entries", ["Joan", "Grace", "Ada"])
do("sign", "entries", ["Alan", "Joan", "Grace", "Ada"], form=form)
do("count_cities", "cities", 2)
newest = shown["entries"][0]["id"]
do("remove", "entries", ["Joan", "Grace", "Ada"], entry_id=newest)
do("count_cities", "cities", 1)
client.disconnect()
