"""What a child that reaches out of this machine is told: its proxy, and whom it may trust."""

from parley_cli.engines.process.child_process import inherited

VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)


def network_environment() -> dict[str, str]:
    return inherited(VARIABLES)
