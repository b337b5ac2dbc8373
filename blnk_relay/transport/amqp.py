"""The way to RabbitMQ: kombu's own, with a bound on every wait, and no message that it cannot read.

Imported where Celery is needed and no earlier; see ``broker.py``.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from amqp import basic_message, method_framing
from kombu.transport import TRANSPORT_ALIASES, pyamqp

#: What stands for ``amqp`` and ``amqps`` in the URLs of our own Celery applications.
SCHEME = "blnkamqp"


class Received(basic_message.Message):
    """What a frame is made into; it has no properties where they cannot be read, such as headers as deep as a well.

    py-amqp fails instead, and a consumer would fail again over the same message, for ever.
    """

    def _load_properties(self, class_id: Any, buf: Any, offset: int) -> int:
        try:
            found: int = super()._load_properties(class_id, buf, offset)  # type: ignore[misc]
        except Exception:  # noqa: BLE001 - whatever is wrong with it, the body is dealt with
            self.properties = {}
            return offset
        return found


#: py-amqp's own, but for what it makes.
_read_frames = FunctionType(
    method_framing.frame_handler.__code__,
    {**vars(method_framing), "Message": Received},
    argdefs=method_framing.frame_handler.__defaults__,
)


class Channel(pyamqp.Channel):
    """Leaves bodies in bytes, and waits for no word of the broker twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "auto_decode": False})

    def basic_publish_confirm(self, *args: Any, **kwargs: Any) -> Any:
        """Publish, and wait until the broker has said that it has it; see py-amqp."""
        try:
            return super().basic_publish_confirm(*args, **kwargs)
        except OSError:
            # Its word might come yet, and would be taken for that about the next message.
            if self.connection is not None:
                self.connection.collect()
            raise


class Connection(pyamqp.Connection):
    """Of such channels."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "frame_handler": _read_frames})


class Transport(pyamqp.Transport):
    """Celery knows it by the scheme."""

    Connection = Connection

    def establish_connection(self) -> Any:
        """Connect, and bound each wait on the socket from then on; py-amqp bounds the first byte of an answer only."""
        connection: Any = super().establish_connection()
        connection.sock.settimeout(connection.read_timeout)
        return connection


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:{Transport.__name__}"
