"""AWS on this machine: moto in a process of its own, made stricter, serialised, and able to fail on purpose."""

from __future__ import annotations

from enactor.conformance.aws.emulator import Emulator, Fault

__all__ = ["Emulator", "Fault"]
