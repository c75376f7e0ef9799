"""What is typed, and what the chat does with it: a message, or one of its few commands."""

from collections.abc import Mapping
from typing import Any

from parley_cli.chat.client import ChatApi, ChatError
from parley_cli.chat.screen import Screen
from parley_cli.chat.sse_events import Delta, Ended

SHOWN_ON_RESUME = 6
SHOWN_AS_HISTORY = 20
HELP = """\
/history             the last messages of this session
/switch [ASSISTANT]  another assistant: your latest session with it, or a new one
/new                 a new session with this assistant
/help                this
/quit                the end (or Ctrl-D)
Anything else is a message. Ctrl-C leaves a reply that is being made; it is finished anyway."""


class Conversation:
    """`all_well` is false once a message or a command could not be carried out."""

    def __init__(self, api: ChatApi, screen: Screen, *, interactive: bool) -> None:
        self._api, self._screen, self._interactive = api, screen, interactive
        self._assistants = api.assistants()
        self._session: Mapping[str, Any] = {}
        self._version = 0
        self.all_well = True

    def open(self, *, assistant: str | None, session: str | None) -> None:
        """Go on with a session, or with the latest one of an assistant. Raises ChatError."""
        if session:
            self._enter(self._api.session(session))
            self._show(self._api.history(session, SHOWN_ON_RESUME, 0))
        else:
            self._switch_to(self._found(assistant) if assistant else self._picked())

    def run(self) -> None:
        while (line := self._next_line()) is not None:
            # A terminal or pipe may give bytes that are no UTF-8, which cannot be sent.
            typed = line.encode(errors="surrogateescape").decode(errors="replace").strip()
            try:
                if typed == "/quit":
                    return
                if typed:
                    self._obey(typed)
            except ChatError as trouble:
                self.all_well = False
                self._screen.notice(str(trouble))

    def _next_line(self) -> str | None:
        try:
            return self._screen.ask("you> ")
        except KeyboardInterrupt:
            return None

    def _obey(self, typed: str) -> None:
        command, _, argument = typed.partition(" ")
        match command:
            case "/history":
                session_id = self._session["id"]
                messages = self._api.history(session_id, SHOWN_AS_HISTORY, self._version)
                self._show(messages, asked_for=True)
            case "/switch":
                wanted = argument.strip()
                self._switch_to(self._found(wanted) if wanted else self._picked())
            case "/new":
                self._enter(self._api.start_session(self._session["assistant_id"]))
            case "/help":
                self._screen.notice(HELP)
            case _ if command.startswith("/"):
                raise ChatError(f"There is no {command}; /help says what there is.")
            case _:
                self._say(typed)

    def _say(self, content: str) -> None:
        ended = Ended(self._version, None)
        try:
            with self._screen.reply(self._name()) as reply:
                for part in self._api.reply(self._session["id"], content):
                    match part:
                        case Delta():
                            reply.write(part.text)
                        case Ended():
                            ended = part
        except KeyboardInterrupt:
            self._screen.notice("The reply goes on without you; /history shows it when it is done.")
        self._version = ended.version
        if ended.trouble:
            raise ChatError(ended.trouble)

    def _switch_to(self, assistant: Mapping[str, Any]) -> None:
        switched = self._api.switch(assistant["id"])
        self._enter(switched["session"])
        self._show(switched["messages"][-SHOWN_ON_RESUME:])

    def _enter(self, session: Mapping[str, Any]) -> None:
        self._session, self._version = session, 0
        new = "a new session" if session["version"] == 1 else "session"
        self._screen.notice(f"{self._name()}, {new} {session['id']}; /help says what you can type.")

    def _show(self, messages: list[dict[str, Any]], *, asked_for: bool = False) -> None:
        for message in messages:
            who = "you" if message["role"] == "user" else self._name()
            self._screen.message(who, message["content"], asked_for=asked_for)

    def _name(self) -> str:
        known = {assistant["id"]: assistant["name"] for assistant in self._assistants}
        return str(known.get(self._session["assistant_id"], self._session["assistant_id"]))

    def _picked(self) -> Mapping[str, Any]:
        """The assistant whose number is typed; the default one where nobody can be asked."""
        default = next((a for a in self._assistants if a["default"]), self._assistants[0])
        if not self._interactive:
            return default
        for number, assistant in enumerate(self._assistants, start=1):
            self._screen.notice(f"{number}. {assistant['name']}: {assistant['description']}")
        typed = self._screen.ask(f"Which one? [{default['name']}] ")
        return self._found(typed.strip()) if typed and typed.strip() else default

    def _found(self, wanted: str) -> Mapping[str, Any]:
        """The assistant with the id, name or number."""
        for number, assistant in enumerate(self._assistants, start=1):
            if wanted.lower() in (assistant["id"].lower(), assistant["name"].lower(), str(number)):
                return assistant
        names = ", ".join(assistant["id"] for assistant in self._assistants)
        raise ChatError(f"There is no assistant {wanted}; there are {names}.")
