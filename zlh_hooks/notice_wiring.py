"""Joins what customers are told with: their directory, the channels, the feed, and the links by which they answer."""

from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.application.herald import EmptyDirectory, Roads
from zlh_hooks.application.ports import CustomerDirectory, NoticeChannel, StatusFeed
from zlh_hooks.domain.deferral_link import LinkMaker
from zlh_hooks.domain.notice import OPERATOR, Customer
from zlh_hooks.domain.notice_text import make_imprint
from zlh_hooks.domain.policy import Policy
from zlh_hooks.notice_settings import MailSettings, WebhookSettings
from zlh_hooks.settings import Settings, read_key, read_secret


def open_directory(settings: Settings) -> CustomerDirectory | None:
    """Who the customers are; None if the settings do not say. Nothing is read yet but the token."""
    from zlh_hooks.adapters.directory_file import DirectoryFile
    from zlh_hooks.adapters.directory_url import LIMIT_BYTES, DirectoryUrl
    from zlh_hooks.adapters.trust import open_trust
    from zlh_hooks.adapters.web import Web

    reach = settings.directory
    if reach is None or reach.file is not None:
        return DirectoryFile(reach.file) if reach and reach.file else None
    token = read_secret(reach.token_file, "directory.token_file") if reach.token_file else None
    web = Web(SystemClock(), open_trust(None, "directory"), reach.timeout, LIMIT_BYTES)
    return DirectoryUrl(str(reach.url), web, token)


def open_channels(settings: Settings) -> tuple[NoticeChannel, ...]:
    """Every way to customers that the settings name. Secrets and CA files are read now, and again at the next start."""
    opened = [
        open_mail(settings.mail, "mail", settings.feed.url if settings.feed else None) if settings.mail else None,
        open_webhook(settings.webhook, "webhook") if settings.webhook else None,
    ]
    return tuple(channel for channel in opened if channel is not None)


def open_mail(reach: MailSettings, table: str, url: str | None = None, label: str = "maintenance") -> NoticeChannel:
    """By the server of that table. ``url``: where more can be read; ``label``: by which mail programs sort."""
    from zlh_hooks.adapters.mail import Letterhead, Login, MailChannel, MailServer
    from zlh_hooks.adapters.trust import open_trust

    login = None
    if reach.user is not None and reach.password_file is not None:
        login = Login(reach.user, read_secret(reach.password_file, f"{table}.password_file"))
    trust = open_trust(reach.ca_file, f"{table}.ca_file")
    server = MailServer(reach.host, reach.real_port, reach.security, trust, login, reach.timeout)
    return MailChannel(server, Letterhead(reach.sender, reach.reply_to, url, label), SystemClock())


def open_webhook(reach: WebhookSettings, table: str) -> NoticeChannel:
    """As that table says."""
    from zlh_hooks.adapters.trust import open_trust
    from zlh_hooks.adapters.web import Web
    from zlh_hooks.adapters.webhook import LIMIT_BYTES, WebhookChannel
    from zlh_hooks.adapters.webhook_shape import DiscordShape, PlainShape

    secret = read_secret(reach.secret_file, f"{table}.secret_file") if reach.secret_file else None
    shape = DiscordShape() if secret is None else PlainShape(secret)
    web = Web(SystemClock(), open_trust(reach.ca_file, f"{table}.ca_file"), reach.timeout, LIMIT_BYTES)
    return WebhookChannel(web, shape, reach.allow_private)


def open_links(settings: Settings) -> LinkMaker | None:
    """What signs links to other dates; None if the settings name no page. The key is read now."""
    reach = settings.deferral
    return LinkMaker(reach.url, read_key(reach.key_file, "deferral.key_file")) if reach else None


def open_feed(settings: Settings) -> StatusFeed | None:
    """Where everybody reads of maintenance; None if the settings name no place."""
    from zlh_hooks.adapters.feed import StatusFiles

    return StatusFiles(settings.feed.directory, settings.feed.url) if settings.feed else None


def make_operator(settings: Settings) -> Customer:
    """Whoever runs the platform, as the customer to whom guests without an owner belong."""
    reach = settings.operator
    return Customer(OPERATOR, "", frozenset(), reach.mail if reach else None, reach.webhook if reach else None)


def open_roads(settings: Settings, policy: Policy) -> Roads:
    """All ways to customers. Without a directory every guest is the operator's own business."""
    imprint = make_imprint(policy, open_links(settings))
    directory = open_directory(settings) or EmptyDirectory()
    return Roads(directory, open_channels(settings), open_feed(settings), make_operator(settings), imprint)
