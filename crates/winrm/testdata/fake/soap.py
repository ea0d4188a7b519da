"""SOAP envelopes as Windows writes and reads them."""

import base64
import re
import uuid
import xml.etree.ElementTree as ET

S = "http://www.w3.org/2003/05/soap-envelope"
A = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
W = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
P = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
X = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
ID = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
ANONYMOUS = A + "/role/anonymous"
CMD = RSP + "/cmd"
ACTIONS = {
    X + "/Create": "Create",
    X + "/Delete": "Delete",
    RSP + "/Command": "Command",
    RSP + "/Receive": "Receive",
    RSP + "/Send": "Send",
    RSP + "/Signal": "Signal",
}

# The text of a Stream is cut out before the envelope is parsed: it is nearly all of a Send.
STREAM = re.compile(rb"(<(?:[\w.-]+:)?Stream\b[^>]*>)([A-Za-z0-9+/=\s]{64,})(</)")


class Bad(Exception):
    """The envelope is not one that Windows would take."""


class Request:
    """One request, read and checked."""

    def __init__(self, body):
        self.data = None
        found = STREAM.search(body)
        if found:
            self.data = found.group(2)
            body = body[:found.end(1)] + body[found.start(3):]
        try:
            self.root = ET.fromstring(body)
        except ET.ParseError as error:
            raise Bad(f"not XML: {error}") from error
        if self.root.tag != f"{{{S}}}Envelope":
            raise Bad(f"the root element is {self.root.tag}")
        self.body = self.root.find(f"{{{S}}}Body")
        if self.body is None:
            raise Bad("no Body")
        if self.body.find(f"{{{ID}}}Identify") is not None:
            self.operation = "Identify"
            return
        self._read_header(self.root.find(f"{{{S}}}Header"))

    def _read_header(self, header):
        def text(namespace, name):
            element = header.find(f"{{{namespace}}}{name}") if header is not None else None
            if element is None or not (element.text or "").strip():
                raise Bad(f"no {name} in the header")
            return element.text.strip()

        action = text(A, "Action")
        self.operation = ACTIONS.get(action)
        if self.operation is None:
            raise Bad(f"unknown action {action}")
        self.message_id = text(A, "MessageID")
        if not re.fullmatch(r"uuid:[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", self.message_id):
            raise Bad(f"MessageID {self.message_id}")
        text(A, "To")
        if header.findtext(f"{{{A}}}ReplyTo/{{{A}}}Address", "").strip() != ANONYMOUS:
            raise Bad("ReplyTo is not anonymous")
        if text(W, "ResourceURI") != CMD:
            raise Bad("ResourceURI is not the one of the shell")
        self.max_envelope = int(text(W, "MaxEnvelopeSize"))
        self.seconds = duration(text(W, "OperationTimeout"))
        self.options = {e.get("Name"): (e.text or "") for e in header.iterfind(f"{{{W}}}OptionSet/{{{W}}}Option")}
        self.shell_id = header.findtext(f"{{{W}}}SelectorSet/{{{W}}}Selector[@Name='ShellId']")
        if self.operation != "Create" and not self.shell_id:
            raise Bad("no selector ShellId")

    def find(self, path):
        return self.body.find("/".join(f"{{{RSP}}}{name}" for name in path.split("/")))


def duration(text):
    found = re.fullmatch(r"PT(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?", text)
    if not found or text == "PT":
        raise Bad(f"OperationTimeout {text}")
    return int(found[1] or 0) * 60 + float(found[2] or 0)


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def envelope(action, relates_to, body):
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{S}" xmlns:a="{A}" xmlns:x="{X}" xmlns:w="{W}" xmlns:rsp="{RSP}" xmlns:p="{P}">'
        f"<s:Header><a:Action>{action}</a:Action><a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID>"
        f"<a:To>{ANONYMOUS}</a:To><a:RelatesTo>{escaped(relates_to)}</a:RelatesTo></s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def identified():
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{S}"><s:Header/><s:Body><wsmid:IdentifyResponse xmlns:wsmid="{ID}">'
        f"<wsmid:ProtocolVersion>{W}</wsmid:ProtocolVersion><wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor>"
        "<wsmid:ProductVersion>OS: 0.0.0 SP: 0.0 Stack: 3.0</wsmid:ProductVersion>"
        "</wsmid:IdentifyResponse></s:Body></s:Envelope>"
    ).encode()


def created(request, shell, address, client):
    selector = f'<w:SelectorSet><w:Selector Name="ShellId">{shell.id}</w:Selector></w:SelectorSet>'
    body = (
        f"<x:ResourceCreated><a:Address>{escaped(address)}</a:Address><a:ReferenceParameters><w:ResourceURI>{CMD}</w:ResourceURI>"
        f"{selector}</a:ReferenceParameters></x:ResourceCreated>"
        f'<rsp:Shell xmlns:rsp="{RSP}"><rsp:ShellId>{shell.id}</rsp:ShellId><rsp:ResourceUri>{CMD}</rsp:ResourceUri>'
        f"<rsp:Owner>{escaped(shell.owner)}</rsp:Owner><rsp:ClientIP>{client}</rsp:ClientIP><rsp:IdleTimeOut>PT7200.000S</rsp:IdleTimeOut>"
        "<rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams>"
        "<rsp:ShellRunTime>P0DT0H0M0S</rsp:ShellRunTime><rsp:ShellInactivity>P0DT0H0M0S</rsp:ShellInactivity></rsp:Shell>"
    )
    return envelope(X + "/CreateResponse", request.message_id, body)


def began(request, command):
    body = f"<rsp:CommandResponse><rsp:CommandId>{command.id}</rsp:CommandId></rsp:CommandResponse>"
    return envelope(RSP + "/CommandResponse", request.message_id, body)


def received(request, command, pieces, done, shape):
    def stream(name, text="", end=""):
        return f'<rsp:Stream Name="{name}" CommandId="{command.id}"{end}>{text}</rsp:Stream>'

    parts = [stream(name, base64.b64encode(data).decode()) for name, data in pieces]
    state = "Done" if done else "Running"
    number = command.exit_code
    if shape.signed and done and number >= 1 << 31:
        number -= 1 << 32
    code = f"<rsp:ExitCode>{number}</rsp:ExitCode>" if done and not shape.no_code else ""
    if done and not shape.no_ends:
        parts += [stream(name, end=' End="true"') for name in ("stdout", "stderr")]
    parts.append(f'<rsp:CommandState CommandId="{command.id}" State="{RSP}/CommandState/{state}">{code}</rsp:CommandState>')
    return envelope(RSP + "/ReceiveResponse", request.message_id, f"<rsp:ReceiveResponse>{''.join(parts)}</rsp:ReceiveResponse>")


def answered(request):
    """SendResponse and SignalResponse."""
    return envelope(f"{RSP}/{request.operation}Response", request.message_id, f"<rsp:{request.operation}Response/>")


def deleted(request):
    return envelope(X + "/DeleteResponse", request.message_id, "")


TEXTS = {
    170: "The requested resource is in use. ",
    232: "The pipe is being closed. ",
    2150858793: "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  ",
    2150858824: "The WS-Management service cannot process the request. The request is larger than MaxEnvelopeSize. ",
    2150858843: "The WS-Management service cannot process the request because the request contained invalid selectors for the resource. ",
    2150859174: "The WS-Management service cannot process the request. This user has exceeded the maximum number of concurrent shells. ",
}
SUBCODES = {2150858793: ("Receiver", "w:TimedOut"), 2150858843: ("Sender", "w:InvalidSelectors")}


def fault(code, relates_to):
    sender, subcode = SUBCODES.get(code, ("Receiver", "w:InternalError"))
    text = TEXTS.get(code, "An error was asked for. ")
    body = (
        f"<s:Fault><s:Code><s:Value>s:{sender}</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason><s:Detail>'
        f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="{code}" Machine="127.0.0.1">'
        f"<f:Message>{text}</f:Message></f:WSManFault></s:Detail></s:Fault>"
    )
    return envelope("http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", relates_to, body)
