//! The messages of WS-Management and its shell: written, and read.

pub(crate) mod answer;
#[cfg(test)]
mod fuzz;
pub(crate) mod request;
pub(crate) mod xml;

/// The XML namespaces that matter here. The first of each line is written and read.
pub(crate) mod names {
    pub(crate) const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
    pub(crate) const ADDRESSING: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
    pub(crate) const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
    pub(crate) const WSMAN: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd";
    pub(crate) const MICROSOFT: &str = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd";
    pub(crate) const FAULT: &str = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault";
    pub(crate) const SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell";
    pub(crate) const IDENTITY: &str =
        "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd";
}
