"""Login: is the caller who it says it is? Nothing is kept here: the client keeps what the answer gives it.

It knows no images. Source: Docker's ``registry/auth.go`` (loginV2).
"""

from __future__ import annotations

from mini_docker.errors import MiniDockerError, Unauthorized
from mini_docker.registry.conversation import Conversation
from mini_docker.registry.credentials import Credentials
from mini_docker.registry.endpoints import domain_of
from mini_docker.registry.errors import RegistryError, Unreachable
from mini_docker.registry.patience import Cancellation
from mini_docker.registry.service import RegistryService


def login(service: RegistryService, credentials: Credentials, cancellation: Cancellation) -> str:
    """Show *credentials* to the registry that they name.

    Returns:
        an identity token to keep instead of the password, where the registry has such; else empty.

    Raises:
        Unauthorized: it does not accept them. Unreachable: no registry is there.
    """
    failure: MiniDockerError = Unreachable(f"no registry at {credentials.server_address!r}")
    for endpoint in service.config.for_push(domain_of(credentials.server_address)):
        conversation = Conversation(service, endpoint, credentials, (), cancellation)
        try:
            conversation.ping()
        except Unreachable as error:
            failure = error
            continue
        return _show(conversation)
    raise failure


def _show(conversation: Conversation) -> str:
    authorizer, challenges = conversation.authorizer()
    url = f"{conversation.endpoint.url}/v2/"
    try:
        identity = authorizer.identity_token(challenges)
    except RegistryError as error:
        # The token server says itself what is wrong.
        raise type(error.as_kind())(f'Get "{url}": {error}') from error
    try:
        conversation.request("GET", "v2/").read_small()
    except RegistryError as error:
        if error.status != 401:
            raise error.as_kind() from error
        raise Unauthorized(f"login attempt to {url} failed with status: 401 Unauthorized") from error
    return identity
