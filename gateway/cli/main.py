"""The command ``mlgate``: reads the command line and hands over to one subcommand.

Exit status 0: done; 1: a problem, with a line on stderr that a person can act on; 2: the command
line is not understood.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from gateway import __version__
from gateway.acl.store import StoreUnavailable
from gateway.cli.common import Stop, add_config
from gateway.errors import GatewayError
from gateway.roles import RolesError
from gateway.settings_load import SettingsError

EPILOG = """\
examples:
  mlgate up                                       everything on this machine, to try it out
  mlgate check --config gateway.yaml              is this going to work?
  mlgate serve --config gateway.yaml              the gateway in front of your MLflow
  mlgate can user:alice runs/create experiment:5 --config gateway.yaml
  mlgate acl grant experiment:5 group:research reader --url https://mlflow.example.com

mlgate COMMAND --help says more about each.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    args = _parser().parse_args(argv)
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except (SettingsError, RolesError) as error:
        for problem in error.problems:
            _complain(str(problem))
        return 1
    except GatewayError as error:
        _complain(error.message)
        return 1
    except (Stop, StoreUnavailable, ValueError) as error:
        _complain(str(error))
        return 1
    except BrokenPipeError:
        # ``mlgate routes | head``: nobody reads on, and that is fine.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return status


def _complain(sentence: str) -> None:
    print(f"mlgate: {sentence}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    from gateway.cli import acl, can, check, routes, session, store, token

    parser = argparse.ArgumentParser(
        prog="mlgate",
        description="Sign-in and access control in front of stock MLflow.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mlgate {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    up = commands.add_parser(
        "up",
        help="everything on this machine: MLflow, the gateway, sample accounts",
        description="Starts stock MLflow, the gateway, and a development identity provider with "
        "the accounts alice and bob (group data-science), carol (group research) and dave "
        "(admin). Data survives a restart; Ctrl-C stops all of it.",
    )
    up.add_argument(
        "--data", metavar="DIR", default="mlgate-data", help="where the data is kept (mlgate-data)"
    )
    up.add_argument("--port", type=_port, default=8080, help="of the gateway (8080)")
    up.add_argument(
        "--store",
        choices=["sqlite", "dynamodb-local"],
        default="sqlite",
        help="where MLflow and the gateway keep things: in files (sqlite), or in Amazon's "
        "DynamoDB Local, which needs a JDK 17 and Maven and is fetched once",
    )
    up.set_defaults(run=_up)
    serve = commands.add_parser(
        "serve",
        help="the gateway alone, in front of MLflow servers that exist",
        description="Runs the gateway until SIGTERM or Ctrl-C; requests in flight may finish.",
    )
    add_config(serve)
    serve.set_defaults(run=_serve)
    for module in (check, routes, can, acl, token, session, store):
        module.add(commands)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number up to 65535")
    return int(text)


def _up(args: argparse.Namespace) -> int:
    from gateway.cli.up import run

    return run(args)


def _serve(args: argparse.Namespace) -> int:
    from gateway.cli.serve import run

    return run(args)


if __name__ == "__main__":
    sys.exit(main())
