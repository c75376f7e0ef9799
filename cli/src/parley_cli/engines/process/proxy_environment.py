"""Proxy and TLS variables, for children that connect to other machines."""

from parley_cli.engines.process.child_process import inherited_environment

VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)


def proxy_environment() -> dict[str, str]:
    return inherited_environment(VARIABLES)
