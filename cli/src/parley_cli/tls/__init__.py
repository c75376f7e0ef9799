"""TLS of `parley up --tls`: the certificate authority of a data folder."""
