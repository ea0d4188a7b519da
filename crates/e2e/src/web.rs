//! A web server on loopback with a few files.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use sha2::{Digest, Sha256};

/// Serves files on loopback until the process ends.
#[derive(Clone)]
pub struct Web {
    url: String,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Web {
    pub fn start(files: &[(&str, &str)]) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), files)
    }

    /// The same on a socket that may be in another name space.
    pub fn on(listener: TcpListener, files: &[(&str, &str)]) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
        let web = Self { url, files: Arc::new(Mutex::new(files.collect())) };
        let served = web.files.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = answer(stream, &served.lock().unwrap());
            }
        });
        web
    }

    /// The address, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// SHA-256 of a file, in hexadecimal.
    pub fn sha256(&self, name: &str) -> String {
        let files = self.files.lock().unwrap();
        hex::encode(Sha256::digest(&files[name]))
    }
}

fn answer(mut stream: TcpStream, files: &BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let name = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let (status, body) = match files.get(name) {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", &b"no such file\n"[..]),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")?;
    stream.write_all(body)
}
