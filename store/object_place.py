"""From the location of an object store to a connection: schemes, credentials, certificates.

    s3://bucket/prefix      S3 and what speaks like it     AWS_* and the profile files of `aws`, see aws_profile.py
    gs://bucket/prefix      Google Cloud Storage           GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT ...
    az://container/prefix   Azure Blob Storage             AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY ...

Rule: credentials come from where their users keep them (environment, profiles, the machine's role), never from the
location or the settings of `silt`. Nothing is asked of the storage here: a wrong credential shows at the first request.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .aws_profile import profile_config
from .backend import PART
from .errors import BackendError

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, RetryConfig, S3Config, S3Store

    Connection = S3Store | GCSStore | AzureStore

_LOCATION = re.compile(r"(s3|gs|az)://([A-Za-z0-9][A-Za-z0-9._-]{1,254})((?:/[^/]+)*)/?")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_ALLOW_HTTP = ("AWS_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "AZURE_STORAGE_USE_EMULATOR")
_CERTIFICATES = ("AWS_CA_BUNDLE", "SSL_CERT_FILE")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")

_SEE = "check the variables of the environment: docs/object-stores.md names them"

# A whole request: a pack of 32 MiB at 60 KiB/s. A connection that nobody answers is given up long before.
_CLIENT: "ClientConfig" = {"timeout": "10min", "connect_timeout": "10s", "user_agent": "siltstone"}

# Requests are repeated in object_retry.py, where Ctrl-C ends the waiting.
_NO_RETRIES: "RetryConfig" = {"max_retries": 0}


def connect(location: str, environment: Mapping[str, str]) -> "Connection":
    """The connection to an object store. Raises BackendError where the location or a setting makes no sense."""
    found = _LOCATION.fullmatch(location)
    parts = found[3].split("/")[1:] if found else []
    if found is None or not all(PART.fullmatch(part) for part in parts):
        hint = "s3://bucket/prefix, gs://bucket/prefix or az://container/prefix, of letters, digits, '.', '_' and '-'"
        raise BackendError(f"{location}: not the location of an object store", hint=hint)
    try:
        return _connection(found[1], found[2], "/".join(parts) or None, environment)
    except (ImportError, ValueError, OSError) as error:
        raise BackendError(f"{location}: cannot be used: {error}", hint=_SEE) from error
    except Exception as error:
        if type(error).__module__.startswith("obstore"):
            said = str(error).partition("\n")[0]
            raise BackendError(f"{location}: cannot be used: {said}", hint=_SEE) from error
        raise


def _connection(scheme: str, bucket: str, prefix: str | None, environment: Mapping[str, str]) -> "Connection":
    from obstore.store import AzureStore, GCSStore, S3Store

    client: ClientConfig = {**_CLIENT}
    if any(environment.get(name, "").lower() in ("1", "true", "yes") for name in _ALLOW_HTTP):
        client["allow_http"] = True
    certificates = next((environment[name] for name in _CERTIFICATES if environment.get(name)), None)
    if certificates:
        with open(certificates, "rb") as file:
            client["root_certificate"] = file.read()
    if scheme == "gs":
        return GCSStore(bucket, prefix=prefix, client_options=client, retry_config=_NO_RETRIES)
    if scheme == "az":
        return AzureStore(bucket, prefix=prefix, client_options=client, retry_config=_NO_RETRIES)
    config: S3Config = profile_config(environment)
    config["disable_bulk_delete"] = True  # not everybody has that request, and its answer says less of a refusal
    endpoint = next((environment[name] for name in _ENDPOINTS if environment.get(name)), config.get("endpoint", ""))
    if endpoint:
        _check_endpoint(endpoint)
        # Who writes http:// means it, as to `aws`; what is stored is sealed in any case.
        client["allow_http"] = client.get("allow_http", False) or endpoint.startswith("http://")
    if "region" not in config and not any(environment.get(name) for name in _REGIONS):
        config["region"] = "us-east-1"
    return S3Store(bucket, prefix=prefix, config=config, client_options=client, retry_config=_NO_RETRIES)


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)  # a ValueError says what is wrong with a port
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", endpoint) or parts.port == 0:
        raise ValueError(f"the endpoint {endpoint!r} is no URL such as https://storage.example.com:9000")
