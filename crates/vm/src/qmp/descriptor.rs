//! Sends a line together with an open file over a UNIX socket.

use std::{fs::File, io, io::IoSlice, mem::MaybeUninit, os::fd::AsFd};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::{UnixStream, unix::OwnedWriteHalf},
};

/// Writes the whole line; the file's descriptor travels with the first byte.
pub(super) async fn send(writer: &mut OwnedWriteHalf, line: &[u8], file: &File) -> io::Result<()> {
    let stream: &UnixStream = writer.as_ref();
    let sent = stream.async_io(Interest::WRITABLE, || first_part(stream, line, file)).await?;
    writer.write_all(&line[sent..]).await
}

fn first_part(stream: &UnixStream, line: &[u8], file: &File) -> io::Result<usize> {
    let descriptors = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no space for a descriptor"));
    }
    Ok(sendmsg(stream, &[IoSlice::new(line)], &mut control, SendFlags::NOSIGNAL)?)
}

#[cfg(test)]
mod tests {
    use std::{io::Read, io::Seek, io::Write};

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use super::*;

    #[tokio::test]
    async fn file_descriptor_arrives_with_the_line() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (_read, mut write) = ours.into_split();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        send(&mut write, b"{}\n", &file).await.unwrap();

        theirs.readable().await.unwrap();
        let mut line = [0; 16];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [io::IoSliceMut::new(&mut line)];
        let got = recvmsg(&theirs, &mut parts, &mut control, RecvFlags::empty()).unwrap();
        let mut files = control.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => files.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        let mut received = File::from(files.next().unwrap());
        received.rewind().unwrap();
        let mut content = String::new();
        received.read_to_string(&mut content).unwrap();
        assert_eq!((&line[..got.bytes], content.as_str()), (&b"{}\n"[..], "content"));
    }
}
