"""What happens to a connection, and what the conversation wants done about it, as values."""

from collections.abc import Callable
from dataclasses import dataclass

from calico_ctl.errors import CalicoError
from calico_ctl.model.wish import Wish


@dataclass(frozen=True, slots=True)
class ClientBytes:
    """The client sent these."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ClientEof:
    """The client will send no more; it may still listen."""


@dataclass(frozen=True, slots=True)
class ClientGone:
    """The client neither sends nor listens any more."""


@dataclass(frozen=True, slots=True)
class EngineOpened:
    """The connection to the engine is there."""


@dataclass(frozen=True, slots=True)
class EngineRefused:
    """There is no connection to the engine; `message` says why and what to try."""

    message: str


@dataclass(frozen=True, slots=True)
class EngineBytes:
    """The engine sent these."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EngineEof:
    """The engine will send no more."""


@dataclass(frozen=True, slots=True)
class Done:
    """A question has its answer (of Identify an id, of Wishes a bool, …), or it is an error."""

    result: object = None
    error: CalicoError | None = None


@dataclass(frozen=True, slots=True)
class TimeUp:
    """The seconds of the last StartTimer are over."""


Event = (
    ClientBytes
    | ClientEof
    | ClientGone
    | EngineOpened
    | EngineRefused
    | EngineBytes
    | EngineEof
    | Done
    | TimeUp
)


@dataclass(frozen=True, slots=True)
class Check:
    """May a container with this wish be created?"""

    wish: Wish


@dataclass(frozen=True, slots=True)
class Reserve:
    """Reserve the wished addresses for the container that was created."""

    container_id: str
    wish: Wish


@dataclass(frozen=True, slots=True)
class Identify:
    """Which container of ours, if any, has this name?"""

    name: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """Does the container of this name wish a network of ours in the place of Docker's?"""

    name: str


@dataclass(frozen=True, slots=True)
class AwaitAgent:
    """Is the agent there, without which this container of ours gets no network after a start?

    With `unless_running` a container that runs needs no agent: the engine does not start it again.
    """

    container_id: str
    unless_running: bool


@dataclass(frozen=True, slots=True)
class Connect:
    """Give the container that was started, and is ours, its network."""

    container_id: str


@dataclass(frozen=True, slots=True)
class Release:
    """Release everything of the container that was removed."""

    container_id: str


@dataclass(frozen=True, slots=True)
class Compute:
    """What does this return? It asks nobody, but takes so long that others would wait."""

    work: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Hold:
    """May so many bytes of a request be held? All connections share the room for them."""

    size: int


Question = Check | Reserve | Identify | Wishes | AwaitAgent | Connect | Release | Compute | Hold


@dataclass(frozen=True, slots=True)
class OpenEngine:
    """Connect to the engine; EngineOpened or EngineRefused follows."""


@dataclass(frozen=True, slots=True)
class ToEngine:
    """Send these to the engine."""

    data: bytes


@dataclass(frozen=True, slots=True)
class HalfCloseEngine:
    """Tell the engine that nothing more comes, and go on listening to it."""


@dataclass(frozen=True, slots=True)
class ToClient:
    """Send these to the client."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ask:
    """Have a question answered; Done follows."""

    question: Question


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Tell TimeUp after so many seconds, unless StopTimer comes before."""

    seconds: float


@dataclass(frozen=True, slots=True)
class StopTimer:
    """Forget the timer."""


@dataclass(frozen=True, slots=True)
class Free:
    """What was held is held no more."""


@dataclass(frozen=True, slots=True)
class Report:
    """Log what was decided about a call of ours: method and path, and the decision."""

    call: str
    decision: str


@dataclass(frozen=True, slots=True)
class Tunnel:
    """From now on pass bytes and half-closes both ways, unseen. The conversation is over."""


@dataclass(frozen=True, slots=True)
class Close:
    """Send what is left to send, then end both connections. The conversation is over."""


Command = (
    OpenEngine
    | ToEngine
    | HalfCloseEngine
    | ToClient
    | Ask
    | StartTimer
    | StopTimer
    | Free
    | Report
    | Tunnel
    | Close
)
