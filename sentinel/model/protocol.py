"""Closed sets of names that columns carry as small integers."""

from enum import IntEnum


class Protocol(IntEnum):
    """An application protocol.  A number, once given, keeps its meaning: stored columns refer to it."""

    UNKNOWN = 0
    MODBUS = 1  # Modbus/TCP
    OPCUA = 2
    MODBUS_RTU_TCP = 3
    ENIP = 4
    S7COMM = 5
    DNP3 = 6
    IEC104 = 7
    BACNET = 8
    GOOSE = 9
    MMS = 10
    MODBUS_ASCII = 11  # in TCP
    S7COMM_PLUS = 12
    PROFINET = 13
    HART_IP = 14
    FINS = 15
    ADS = 16
    MQTT = 17


class MessageKind(IntEnum):
    REQUEST = 0
    RESPONSE = 1
    EXCEPTION = 2


class FlowKind(IntEnum):
    """What the packets of a flow row are, as far down as it could be understood."""

    TCP = 0
    UDP = 1
    ICMP = 2
    ARP_REQUEST = 3
    ARP_REPLY = 4
    OTHER_IP = 5
    OTHER_ETHERNET = 6


class Defect(IntEnum):
    """What is wrong with a row's bytes.  A defect is an observation about the sender, never an exception in our code."""

    NONE = 0
    TRUNCATED = 1  # the capture's snap length or the end of the stream cut it
    BAD_LENGTH = 2  # a length field contradicts the protocol or the data
    BAD_PROTOCOL_ID = 3  # MBAP protocol identifier is not 0
    BAD_COUNT = 4  # quantity or byte count outside the protocol's limits
    UNKNOWN_FUNCTION = 5
    GARBAGE = 6  # bytes that fit no frame; skipped up to the next plausible one
    STREAM_GAP = 7  # the sensor missed octets before this row
    BAD_VALUE = 8  # a field holds a value the protocol forbids
    UNSOLICITED = 9  # a response without a request
    CONTRADICTING_COPY = 10  # the same octets of a TCP stream or an IP packet were sent twice with different content
    FRAGMENT = 11  # a part of an IP packet: what it carries is looked into with the part that completes it
    BAD_TEXT = 12  # a text whose octets are not of its encoding
    BAD_CHECK = 13  # a check sum does not fit: whom it was for passes it over


class Topic(IntEnum):
    """What a row of `sentinel.model.observation.Details` tells.  A number, once given, keeps its meaning."""

    VALUE_READ = 1  # a node's value, as the server answered
    VALUE_PUBLISHED = 2  # a node's value, as a subscription brought it
    VALUE_WRITTEN = 3  # a node's value, as a client means to set it
    WRITE_RESULT = 4  # the server's status for such a write
    METHOD_CALLED = 5  # a method, with its first argument where that is a number
    CALL_RESULT = 6
    NODE_MONITORED = 7
    NODE_BROWSED = 8
    NODE_ADDED = 9
    NODE_DELETED = 10
    HISTORY_READ = 11
    HISTORY_UPDATED = 12
    CHANNEL = 20  # subject: security policy; text: mode; number: milliseconds that it lasts
    CERTIFICATE = 21  # subject: SHA-256 of the sender's certificate; text: who sends it, client or server
    IDENTITY = 22  # subject: kind of the user's token; text: who; number: 1 = with a password that everybody can read
    CLIENT_APPLICATION = 23  # subject: application uri; text: its name
    SERVER_APPLICATION = 24
    ENDPOINT = 25  # subject: its address; text: policy and mode that it offers
    CERTIFICATE_CHAIN = 26  # subject: who sends it; text: "loop" where issuers lead back into it; number: certificates in it
    CERTIFICATE_NAME = 27  # subject: who sends it; text: whose it says it is
    VENDOR = 30  # text, of the server, as the five below
    PRODUCT = 31
    FIRMWARE = 32
    BUILD = 33
    SERIAL = 34
    NAME = 35  # that its people gave it: a station's, a device's


class Quality(IntEnum):
    """OPC UA's three grades of a value's status code (Part 8, 6.3.2)."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2
