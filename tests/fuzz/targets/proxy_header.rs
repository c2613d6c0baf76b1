//! Headers of the PROXY protocol: who is named is named there, and what follows is left to the
//! protocol behind, however the bytes arrive.

#![no_main]

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::FutureExt;
use libfuzzer_sys::fuzz_target;
use tidegate::server::fuzzing::proxy_header;
use tokio::io::{AsyncRead, ReadBuf};

fuzz_target!(|data: &[u8]| {
    let mut whole = data;
    let read = read(&mut whole);
    let mut slow = ByteByByte(data);
    assert_eq!(self::read(&mut slow), read);
    if let Ok(client) = read {
        assert_eq!(slow.0, whole);
        check(&data[..data.len() - whole.len()], client);
    }
});

fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<IpAddr>, String> {
    let read = proxy_header(stream).now_or_never();
    read.expect("all bytes are there")
}

struct ByteByByte<'a>(&'a [u8]);

impl AsyncRead for ByteByByte<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some((first, rest)) = self.0.split_first() {
            buffer.put_slice(&[*first]);
            self.0 = rest;
        }
        Poll::Ready(Ok(()))
    }
}

/// `header` is all of a header that names `client`.
fn check(header: &[u8], client: Option<IpAddr>) {
    if let Some(line) = header.strip_prefix(b"PROXY ") {
        let line = str::from_utf8(line).expect("ASCII");
        assert!(line.ends_with("\r\n") && header.len() <= 107, "{line:?}");
        let named = line.split_ascii_whitespace().nth(1);
        if let Some(client) = client {
            assert_eq!(named.and_then(|text| text.parse().ok()), Some(client));
        }
        return;
    }
    let (start, block) = header.split_at(16);
    assert!(start.starts_with(b"\r\n\r\n\0\r\nQUIT\n"));
    let length = u16::from_be_bytes([start[14], start[15]]);
    assert_eq!(block.len(), usize::from(length));
    match client {
        Some(IpAddr::V4(address)) => assert!(block.starts_with(&address.octets())),
        Some(IpAddr::V6(address)) => assert!(block.starts_with(&address.octets())),
        None => {}
    }
}
