// SPDX-License-Identifier: GPL-2.0

//! An HTTP server on the lab's loopback that gives and takes bodies and knows their hashes.

use std::collections::HashMap;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tiny_http::{Method, Request, Response, Server};

use crate::initramfs::sha256;
use crate::{Error, Result};

/// A body that a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its length in bytes.
    pub length: usize,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

type Uploads = Arc<Mutex<HashMap<String, Received>>>;
type Files = Arc<Mutex<HashMap<String, PathBuf>>>;

/// Serves `GET /body` and what else it is given, and keeps the body of `PUT /<name>`.
pub struct HttpServer {
    server: Arc<Server>,
    worker: Option<JoinHandle<()>>,
    uploads: Uploads,
    files: Files,
    body: Received,
    port: u16,
}

impl HttpServer {
    /// Serves, at `address`, a body of `length` bytes that no network device could make up.
    pub fn start(address: Ipv4Addr, length: usize) -> Result<Self> {
        let body = Arc::new(noise(length));
        let server = Server::http((address, 0)).map_err(|error| {
            Error::Input(format!(
                "cannot start the HTTP server at {address}: {error}"
            ))
        })?;
        let server = Arc::new(server);
        let port = server
            .server_addr()
            .to_ip()
            .ok_or_else(|| Error::Input("the HTTP server has no address".to_owned()))?
            .port();
        let uploads = Uploads::default();
        let files = Files::default();
        let worker = thread::spawn({
            let (server, body) = (server.clone(), body.clone());
            let (uploads, files) = (uploads.clone(), files.clone());
            move || {
                for request in server.incoming_requests() {
                    let body = body.clone();
                    let (uploads, files) = (uploads.clone(), files.clone());
                    thread::spawn(move || {
                        // A client that goes away in the middle is what some tests provoke.
                        let _ = answer(request, &body, &uploads, &files);
                    });
                }
            }
        });
        Ok(Self {
            server,
            worker: Some(worker),
            uploads,
            files,
            body: Received {
                length,
                sha256: sha256(&body),
            },
            port,
        })
    }

    /// The TCP port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The body that `GET /body` sends.
    pub fn body(&self) -> &Received {
        &self.body
    }

    /// Serves a file as `GET /<name>`.
    pub fn offer(&self, name: &str, file: &Path) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(format!("/{name}"), file.to_path_buf());
    }

    /// Forgets what was put under `name`.
    pub fn forget(&self, name: &str) {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.remove(name);
    }

    /// Returns what was last put under `name`.
    pub fn received(&self, name: &str) -> Option<Received> {
        let uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.get(name).cloned()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(worker) = self.worker.take() {
            // It has no result, and a panic in it has been reported by itself.
            let _ = worker.join();
        }
    }
}

fn answer(
    mut request: Request,
    body: &[u8],
    uploads: &Uploads,
    files: &Files,
) -> std::io::Result<()> {
    let path = request.url().to_owned();
    match request.method() {
        Method::Get if path == "/body" => {
            request.respond(Response::from_data(body.to_vec()).with_chunked_threshold(usize::MAX))
        }
        Method::Get => {
            let files = files.lock().unwrap_or_else(PoisonError::into_inner);
            let file = files.get(&path).cloned();
            drop(files);
            match file {
                Some(file) => request.respond(
                    Response::from_file(File::open(file)?).with_chunked_threshold(usize::MAX),
                ),
                None => refuse(request),
            }
        }
        Method::Put => {
            let mut content = Vec::with_capacity(request.body_length().unwrap_or(0));
            request.as_reader().read_to_end(&mut content)?;
            // Answered before it is hashed: the client's clock is running.
            request.respond(Response::from_string("").with_status_code(201))?;
            let received = Received {
                length: content.len(),
                sha256: sha256(&content),
            };
            uploads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(path.trim_start_matches('/').to_owned(), received);
            Ok(())
        }
        _ => refuse(request),
    }
}

fn refuse(request: Request) -> std::io::Result<()> {
    request.respond(Response::from_string("not here\n").with_status_code(404))
}

/// Reproducible bytes in which no two words are alike (xorshift64*).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let word = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::process::wait_for;

    fn exchange(port: u16, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    #[test]
    fn bodies_arrive_as_their_hashes_say() {
        let server = HttpServer::start(Ipv4Addr::LOCALHOST, 100_001).unwrap();
        let get = b"GET /body HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = exchange(server.port(), get);
        let body = &answer[answer.len() - 100_001..];
        assert_eq!(server.body().length, 100_001);
        assert_eq!(server.body().sha256, sha256(body));

        let put =
            b"PUT /up HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nabcd";
        let answer = exchange(server.port(), put);
        assert!(answer.starts_with(b"HTTP/1.1 201"), "{answer:?}");
        let limit = std::time::Duration::from_secs(5);
        let received = wait_for("upload", limit, || Ok(server.received("up"))).unwrap();
        assert_eq!(received.length, 4);
        assert_eq!(received.sha256, sha256(b"abcd"));
    }

    #[test]
    fn files_are_served_by_the_name_they_are_offered_by() {
        let server = HttpServer::start(Ipv4Addr::LOCALHOST, 1).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"content").unwrap();
        server.offer("name", file.path());
        let get = |name: &str| {
            let request = format!("GET /{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            String::from_utf8(exchange(server.port(), request.as_bytes())).unwrap()
        };
        let answer = get("name");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("content"));
        assert!(get("other").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn the_body_does_not_repeat_itself() {
        let body = noise(64 * 1024);
        let mut words: Vec<&[u8]> = body.chunks(8).collect();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), 8 * 1024);
    }
}
