"""A mail server for tests: prints where it listens, then every mail that it takes, a line of JSON each."""

import argparse
import asyncio
import json
import logging
import os
import ssl
import warnings

import trustme
from aiosmtpd.smtp import SMTP, AuthResult

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--tls", choices=["none", "starttls", "tls"], default="none")
arguments.add_argument("--user")
arguments.add_argument("--password")
arguments.add_argument("--refuse", type=int, default=0, help="recipients that are told to come back later")
arguments.add_argument("--directory", required=True, help="where the certificate of the authority is put")
arguments = arguments.parse_args()

# Clients that break off, and what a test wants that nobody should want, are no news.
logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")


def say(**what):
    print(json.dumps(what), flush=True)


class Handler:
    def __init__(self):
        self.refuse = arguments.refuse

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.refuse > 0:
            self.refuse -= 1
            say(refused=address)
            return "451 4.7.1 come back later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_DATA(self, server, session, envelope):
        say(
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            is_encrypted=session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None,
            user=session.auth_data.login.decode() if session.authenticated else None,
            text=envelope.content.decode(),
        )
        return "250 2.0.0 taken"


def authenticate(server, session, envelope, mechanism, data):
    is_right = (data.login.decode(), data.password.decode()) == (arguments.user, arguments.password)
    return AuthResult(success=is_right, auth_data=data) if is_right else AuthResult(success=False, handled=False)


async def main():
    authority = trustme.CA()
    certificate = os.path.join(arguments.directory, "authority.pem")
    authority.cert_pem.write_to_path(certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    handler = Handler()

    def server():
        return SMTP(
            handler,
            hostname="mail.test",
            tls_context=context if arguments.tls == "starttls" else None,
            require_starttls=arguments.tls == "starttls",
            authenticator=authenticate if arguments.user else None,
            auth_required=arguments.user is not None,
            auth_require_tls=arguments.tls == "starttls",
        )

    wrapped = context if arguments.tls == "tls" else None
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, ssl=wrapped)
    say(port=listening.sockets[0].getsockname()[1], authority=certificate)
    await listening.serve_forever()


asyncio.run(main())
