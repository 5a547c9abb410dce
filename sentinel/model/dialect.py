"""How Modbus/TCP servers differ in what they make of requests that the standard does not allow, as far as it changes their registers.

`DIALECTS`: by what was seen of real servers (OpenPLC v3, libmodbus 3.1.6, pymodbus 3.16.1, pyModbusTCP, modbus-serial 8.0), and the
standard's own (Application Protocol V1.1b3, Messaging on TCP/IP V1.0b).  A plant file declares its device's: ``modbus: {dialect: ...}``.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    name: str
    odd_coil: bool = False  # function 5 with a value that is neither 0 nor 0xFF00 sets the coil
    wrong_count: bool = False  # function 16 whose octet count contradicts its quantity is carried out
    mask_write: bool = True  # function 22 is there
    read_write: bool = True  # function 23 is there
    any_unit: bool = False  # a foreign unit identifier is taken for its own
    any_protocol: bool = False  # a protocol identifier other than 0 is overlooked
    first_only: bool = False  # of several requests in one segment only the first is carried out


STANDARD = Dialect(name="standard")
DIALECTS = {
    one.name: one
    for one in (
        STANDARD,
        Dialect(name="openplc", odd_coil=True, mask_write=False, read_write=False, any_unit=True, any_protocol=True),
        Dialect(name="libmodbus", any_unit=True, any_protocol=True),
        Dialect(name="pymodbus", odd_coil=True, first_only=True),
        Dialect(name="pymodbustcp", odd_coil=True, mask_write=False, any_unit=True),
        Dialect(name="modbus-serial", odd_coil=True, wrong_count=True, mask_write=False, read_write=False, any_protocol=True),
    )
}
