//! The PROXY protocol, versions 1 and 2: a balancer that passes bytes on says first whose they are
//! (`HAProxy`, `proxy-protocol.txt`, sections 2.1 and 2.2).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What the header says of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Client(IpAddr),
    /// The balancer speaks for itself (a health check), or does not know.
    Nothing,
}

/// Why there is no header to go by.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the connection begins with no PROXY protocol header")]
    Absent,
    #[error("the PROXY protocol header is malformed: {0}")]
    Wrong(&'static str),
    #[error("the connection ended within the PROXY protocol header: {0}")]
    Cut(#[from] io::Error),
}

/// Reads the header and not one byte more. The caller bounds the time.
pub(super) async fn read<I: AsyncRead + Unpin>(stream: &mut I) -> Result<Told, Malformed> {
    // Shorter than the shortest header of either version.
    let mut start = [0; SIGNATURE.len()];
    let mut length = 0;
    while length < start.len() {
        let read = stream.read(&mut start[length..]).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        length += read;
        // Whoever speaks another protocol may send less and wait for an answer.
        let seen = &start[..length];
        if !begins(seen, SIGNATURE) && !begins(seen, VERSION_1) {
            return Err(Malformed::Absent);
        }
    }
    if start == *SIGNATURE {
        version_2(stream).await
    } else {
        version_1(stream, start).await
    }
}

/// Whether one is the beginning of the other.
fn begins(seen: &[u8], expected: &[u8]) -> bool {
    let common = seen.len().min(expected.len());
    seen[..common] == expected[..common]
}

async fn version_1<I: AsyncRead + Unpin>(
    stream: &mut I,
    start: [u8; SIGNATURE.len()],
) -> Result<Told, Malformed> {
    let mut line = start.to_vec();
    while !line.ends_with(b"\n") {
        if line.len() >= LINE_BYTES {
            return Err(Malformed::Wrong("its line does not end"));
        }
        // Byte by byte, for what follows is the client's; it is one small line a connection.
        line.push(stream.read_u8().await?);
    }
    let line = line
        .strip_suffix(b"\r\n")
        .and_then(|line| std::str::from_utf8(line).ok())
        .ok_or(Malformed::Wrong("its line is no text that ends with CR LF"))?;
    let parts: Vec<&str> = line.split(' ').collect();
    let wrong = Malformed::Wrong("its line does not name two addresses and two ports");
    match parts[..] {
        ["PROXY", "UNKNOWN", ..] => Ok(Told::Nothing),
        ["PROXY", "TCP4", from, to, from_port, to_port] => {
            let from = addresses::<Ipv4Addr>(from, to).filter(|_| ports(from_port, to_port));
            from.map(|from| Told::Client(from.into())).ok_or(wrong)
        }
        ["PROXY", "TCP6", from, to, from_port, to_port] => {
            let from = addresses::<Ipv6Addr>(from, to).filter(|_| ports(from_port, to_port));
            from.map(|from| Told::Client(from.into())).ok_or(wrong)
        }
        _ => Err(wrong),
    }
}

/// The first address, if both are some.
fn addresses<A: std::str::FromStr>(from: &str, to: &str) -> Option<A> {
    let from = from.parse().ok()?;
    to.parse::<A>().ok()?;
    Some(from)
}

fn ports(from: &str, to: &str) -> bool {
    from.parse::<u16>().is_ok() && to.parse::<u16>().is_ok()
}

async fn version_2<I: AsyncRead + Unpin>(stream: &mut I) -> Result<Told, Malformed> {
    let command = stream.read_u8().await?;
    let family = stream.read_u8().await?;
    let length = usize::from(stream.read_u16().await?);
    if length > BLOCK_BYTES {
        return Err(Malformed::Wrong("it is too long"));
    }
    let mut block = vec![0; length];
    stream.read_exact(&mut block).await?;
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed::Wrong("its version or command is none")),
    };
    let short = Malformed::Wrong("it has no room for its addresses");
    let client = match family {
        _ if is_local => None,
        TCP_OVER_IPV4 if length < 2 * 4 + 4 => return Err(short),
        TCP_OVER_IPV6 if length < 2 * 16 + 4 => return Err(short),
        TCP_OVER_IPV4 => block.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
        TCP_OVER_IPV6 => block
            .first_chunk::<16>()
            .map(|octets| IpAddr::from(*octets)),
        // Unspecified, a UNIX socket, a datagram: the receiver goes by the connection.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => None,
        _ => return Err(Malformed::Wrong("its address family is none")),
    };
    Ok(client.map_or(Told::Nothing, Told::Client))
}

/// Of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const VERSION_1: &[u8] = b"PROXY ";
/// The longest line of version 1, its end included (section 2.1).
const LINE_BYTES: usize = 107;
/// Of version 2 after its first 16 bytes: addresses and everything that balancers add, of which
/// names in client certificates are the longest.
const BLOCK_BYTES: usize = 4096;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of these bytes, and what is left of them.
    async fn parse(bytes: &[u8]) -> (Result<Told, String>, Vec<u8>) {
        let mut rest = bytes;
        let told = read(&mut rest).await.map_err(|error| error.to_string());
        (told, rest.to_vec())
    }

    fn version_2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family][..], &length, block].concat()
    }

    fn client(text: &str) -> Told {
        Told::Client(text.parse().unwrap())
    }

    const IPV4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb];

    #[tokio::test]
    async fn headers_of_both_versions_name_the_client_and_leave_the_rest() {
        let ipv6 = {
            let from: Ipv6Addr = "2001:db8::7".parse().unwrap();
            [&from.octets()[..], &[0; 20]].concat()
        };
        let with_more = [&IPV4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        for (header, told) in [
            (
                &b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n"[..],
                client("192.0.2.7"),
            ),
            (
                b"PROXY TCP6 2001:db8::7 ::1 12345 443\r\n",
                client("2001:db8::7"),
            ),
            (b"PROXY UNKNOWN\r\n", Told::Nothing),
            (
                b"PROXY UNKNOWN ffff:f::1 ::1 65535 65535\r\n",
                Told::Nothing,
            ),
            (&version_2(0x21, 0x11, &IPV4), client("192.0.2.7")),
            (&version_2(0x21, 0x11, &with_more), client("192.0.2.7")),
            (&version_2(0x21, 0x21, &ipv6), client("2001:db8::7")),
            (&version_2(0x20, 0x00, &[]), Told::Nothing),
            (&version_2(0x20, 0x11, &IPV4), Told::Nothing),
            (&version_2(0x21, 0x00, &[]), Told::Nothing),
            (&version_2(0x21, 0x31, &[0; 216]), Told::Nothing),
        ] {
            let sent = [header, b"GET / HTTP/1.1\r\n"].concat();
            let shown = String::from_utf8_lossy(header);
            let (read, rest) = parse(&sent).await;
            assert_eq!(read, Ok(told), "{shown}");
            assert_eq!(rest, b"GET / HTTP/1.1\r\n", "{shown}");
        }
    }

    #[tokio::test]
    async fn everything_else_is_refused() {
        let endless = [b"PROXY UNKNOWN ".repeat(9), b"\r\n".to_vec()].concat();
        let too_long = version_2(0x21, 0x11, &[0; BLOCK_BYTES + 1]);
        for (sent, why) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "begins with no"),
            (
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
                "begins with no",
            ),
            (b"G", "begins with no"),
            (b"", "ended within"),
            (b"PROX", "ended within"),
            (b"PROXY TCP4 192.0.2.7 10.0", "ended within"),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\n", "CR LF"),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n", "two addresses"),
            (b"PROXY TCP4 2001:db8::7 ::1 12345 443\r\n", "two addresses"),
            (
                b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 99999\r\n",
                "two addresses",
            ),
            (
                b"PROXY TCP4  192.0.2.7 10.0.0.1 12345 443\r\n",
                "two addresses",
            ),
            (
                b"PROXY UDP4 192.0.2.7 10.0.0.1 12345 443\r\n",
                "two addresses",
            ),
            (&endless, "does not end"),
            (&version_2(0x11, 0x11, &IPV4), "version or command"),
            (&version_2(0x22, 0x11, &IPV4), "version or command"),
            (&version_2(0x21, 0x11, &IPV4[..11]), "no room"),
            (&version_2(0x21, 0x21, &IPV4), "no room"),
            (&version_2(0x21, 0x41, &IPV4), "family"),
            (&version_2(0x21, 0x11, &IPV4)[..20], "ended within"),
            (&too_long, "too long"),
        ] {
            let (read, _) = parse(sent).await;
            let refused = read.unwrap_err();
            let shown = String::from_utf8_lossy(sent);
            assert!(refused.contains(why), "{shown:?}: {refused}");
        }
    }
}
