"""The SQL statement of an append, while it is built."""


class Statement:
    """SQL text and parameters; the result says whether the session was at the expected version.

    With the condition WithinLimits, the next columns are what CountedTurn.windows_of takes.
    """

    def __init__(self, first_expression: str, *values: object) -> None:
        self._text, self.values = first_expression, [*values]
        self._more_columns = ""
        self.event_bytes = 0

    def add(self, expression: str, *values: object) -> None:
        """Each `{}` in the expression becomes the parameter of the next value."""
        first = len(self.values) + 1
        self._text += expression.format(*(f"${first + index}" for index in range(len(values))))
        self.values += values

    def read(self, columns: str) -> None:
        """Add columns to the result."""
        self._more_columns += columns

    @property
    def text(self) -> str:
        return f"{self._text} SELECT EXISTS (SELECT FROM advanced){self._more_columns}"
