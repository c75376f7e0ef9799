"""Size limits of the session API; lengths are in code points unless the name says otherwise."""

MAX_MESSAGE_BYTES = 256 * 1024
"""Content of one message, as UTF-8."""
MAX_REPLY_BYTES = 512 * 1024
"""Content of one reply, as UTF-8. A longer one, once sealed, would not fit into an event."""

MAX_TITLE_LENGTH = 200
MAX_METADATA_ENTRIES = 16
MAX_METADATA_KEY_LENGTH = 64
MAX_METADATA_VALUE_LENGTH = 512

MAX_PRECEDING_MESSAGES = 20
"""Messages that one submit may add before its own."""
MAX_PARAMETERS = 64
MAX_PARAMETERS_BYTES = 16 * 1024
"""Parameters of one turn, as JSON: a JSON schema is the largest that is common."""
MAX_IMPORTED_MESSAGES = 1_000
"""Messages of one import."""
MAX_NAMED_RECORDS = 100
"""Bad records that the response to an import names."""
MAX_SUMMARY_LENGTH = 256 * 1024
MAX_ERROR_CODE_LENGTH = 100

ASSISTANT_ID_PATTERN = "[a-z0-9][a-z0-9_-]{0,63}"
"""Matches a whole assistant id; regular expression engines differ in how they anchor it."""

MAX_ASSISTANT_NAME_LENGTH = 100
MAX_ASSISTANT_DESCRIPTION_LENGTH = 1_000
MAX_INSTRUCTIONS_LENGTH = 32 * 1024
MAX_MODEL_NAME_LENGTH = 200

NO_CONTROL_CHARACTER = r"^[^\x00-\x1f\x7f]*\Z"
"""Pattern of names that are stored in clear text; Postgres cannot store U+0000.

`$` would also match before a line break at the end.
"""

SCOPE_PATTERN = r"[\x21-\x7e]{1,100}"
MAX_API_KEY_NAME_LENGTH = 100
MAX_API_KEY_SCOPES = 20
MAX_API_KEY_MODELS = 20
"""They are in every principal token of the key."""

MAX_TOKEN_LIFETIME_SECONDS = 366 * 86_400
"""From `iat` to `exp` of a token. Bounds how long its revocation must be known."""
MAX_REVOCATION_TARGET_LENGTH = 255
"""That of a user; a `jti` that is longer cannot be revoked alone."""

MAX_IDEMPOTENCY_KEY_LENGTH = 255
MAX_TURNS_PER_HEARTBEAT = 10_000
MAX_DATA_KEYS_PER_REQUEST = 100
MAX_SEARCH_KEYS_PER_REQUEST = 100
MAX_VERSIONS_PER_REQUEST = 500
MAX_API_KEYS_PER_REQUEST = 500
MAX_REFUSALS_PER_REQUEST = 100
