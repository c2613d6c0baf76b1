//! What attackers send over raw sockets, and that others are served all the while.

use std::time::Duration;

use super::*;

/// The statuses of all answers on one connection, in order.
async fn statuses(gateway: &Gateway, sent: impl AsRef<[u8]>) -> Vec<String> {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    // The gateway may have closed before all is sent.
    let _reset = stream.write_all(sent.as_ref()).await;
    let mut answers = Vec::new();
    let reading = stream.read_to_end(&mut answers);
    let _reset = tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("the connection stays open");
    let answers = String::from_utf8_lossy(&answers).into_owned();
    let starts = answers.match_indices("HTTP/1.1 ");
    starts
        .map(|(at, _)| answers[at + 9..at + 12].to_owned())
        .collect()
}

const SECOND: &str = "GET /second HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n";

async fn others_are_served(gateway: &Gateway) {
    let answer = gateway
        .send("GET / HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Each carries a second request where another reader of HTTP might not look for one.
#[tokio::test]
async fn no_second_request_can_be_smuggled() {
    let gateway = Gateway::plain(Config::default()).await;
    let head = "POST / HTTP/1.1\r\nHost: r\r\n";
    for (what, sent) in [
        (
            "a folded line",
            format!("{head}X-A: b\r\n Content-Length: 80\r\n\r\n{SECOND}"),
        ),
        (
            "a folded coding",
            format!("{head}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{SECOND}"),
        ),
        (
            "a space before the colon",
            format!("{head}Content-Length : 80\r\n\r\n{SECOND}"),
        ),
        (
            "a coding that is nearly one",
            format!("{head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{SECOND}"),
        ),
        (
            "chunked, but not last",
            format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{SECOND}"),
        ),
        (
            "a coding within the chunks",
            format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{SECOND}"),
        ),
        (
            "a coding within the chunks on a line of its own",
            format!(
                "{head}Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SECOND}"
            ),
        ),
        (
            "chunks within chunks",
            format!("{head}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n{SECOND}"),
        ),
        (
            "a list of lengths",
            format!("{head}Content-Length: 0, 80\r\n\r\n{SECOND}"),
        ),
        (
            "a negative length",
            format!("{head}Content-Length: -1\r\n\r\n{SECOND}"),
        ),
        (
            "a hexadecimal length",
            format!("{head}Content-Length: 0x0\r\n\r\n{SECOND}"),
        ),
        ("a NUL", format!("{head}X-A: b\0c\r\n\r\n{SECOND}")),
        (
            "a bare CR",
            format!("{head}X-A: b\rContent-Length: 80\r\n\r\n{SECOND}"),
        ),
        (
            "two request lines' worth of spaces",
            format!("GET / x HTTP/1.1\r\nHost: r\r\n\r\n{SECOND}"),
        ),
    ] {
        let answered = statuses(&gateway, sent).await;
        assert_eq!(answered, ["400"], "{what}");
    }
    others_are_served(&gateway).await;
    let log = gateway.log().await;
    assert!(!log.contains("/second"), "{log}");
}

/// Each is read as one request at most; what is left over is its body, or closes the connection.
#[tokio::test]
async fn what_follows_a_strange_chunk_is_no_request() {
    let gateway = Gateway::plain(Config::default()).await;
    let head = "POST / HTTP/1.1\r\nHost: r\r\n";
    for (what, sent) in [
        (
            "a chunk's size with a bare LF",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n0\n\n{SECOND}"),
        ),
        (
            "a chunk's size that overflows",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n{SECOND}"),
        ),
        (
            "a chunk longer than it says",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n{SECOND}"),
        ),
        (
            "an extension with a bare LF",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n0;a\n\r\n\r\n{SECOND}"),
        ),
        (
            "extensions without end",
            format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n1;{}\r\na\r\n0\r\n\r\n{SECOND}",
                "a".repeat(20 << 10)
            ),
        ),
        (
            "trailers without end",
            format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n0\r\nX: {}\r\n\r\n{SECOND}",
                "a".repeat(1 << 20)
            ),
        ),
    ] {
        let answered = statuses(&gateway, sent).await;
        assert!(answered.len() <= 1, "{what}: {answered:?}");
    }
    others_are_served(&gateway).await;
    let log = gateway.log().await;
    assert!(!log.contains("/second"), "{log}");
}

#[tokio::test]
async fn floods_of_headers_end_with_431() {
    let gateway = Gateway::plain(Config::default()).await;
    let many = "X-A: b\r\n".repeat(2000);
    let large = format!("X-A: {}\r\n", "b".repeat(1 << 20));
    for flood in [many, large] {
        let sent = format!("GET / HTTP/1.1\r\nHost: r\r\n{flood}\r\n");
        assert_eq!(statuses(&gateway, sent).await, ["431"]);
    }
    let endless = format!("GET /{} HTTP/1.1\r\n", "a".repeat(1 << 20));
    let answered = statuses(&gateway, endless).await;
    assert!(answered == ["414"] || answered == ["431"], "{answered:?}");
    others_are_served(&gateway).await;
}

/// Sends one byte after the other until the gateway closes, and answers what it said.
async fn trickle(gateway: &Gateway, first: &str, byte: u8) -> String {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(first.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let trickling = async {
        while write.write_all(&[byte]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut said = Vec::new();
    let read = async { drop(read.read_to_end(&mut said).await) };
    let all = async {
        tokio::select! {
            () = trickling => {}
            () = read => {}
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .expect("the connection stays open");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn slow_headers_do_not_hold_a_connection() {
    let impatient = Config {
        header_timeout_seconds: 1,
        keep_alive_seconds: 1,
        ..Config::default()
    };
    let gateway = Gateway::plain(impatient).await;
    trickle(&gateway, "GET / HTTP/1.1\r\nHost: r\r\nX-A: ", b'a').await;
    // Nor those of a later request on a connection that was used before.
    let used = "GET / HTTP/1.1\r\nHost: r\r\n\r\nGET /second HTTP/1.1\r\nX-A: ";
    let said = trickle(&gateway, used, b'a').await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    assert!(!said.contains("/second"), "{said}");
    others_are_served(&gateway).await;
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up() {
    let impatient = Config {
        body_idle_timeout_seconds: 1,
        ..Config::default()
    };
    let gateway = Gateway::plain(impatient).await;
    let upload = "PUT / HTTP/1.1\r\nHost: r\r\nContent-Length: 9\r\n\r\nabc";
    let answer = gateway.send(upload).await;
    assert!(answer.contains("no data for 1 s"), "{answer}");
    others_are_served(&gateway).await;
}

#[tokio::test]
async fn thousands_of_connections_from_one_address_leave_places_for_others() {
    let config = Config {
        max_connections: 20,
        ..Config::default()
    };
    let limits = Limits {
        connections_per_address: 10,
        ..Limits::default()
    };
    let gateway = Gateway::limited(config, tls::Mode::Off, Access::default(), limits).await;
    let mut crowd = Vec::new();
    for _ in 0..2000 {
        crowd.push(TcpStream::connect(gateway.address).await.unwrap());
    }
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let mut other = socket.connect(gateway.address).await.unwrap();
    let get = b"GET / HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n";
    other.write_all(get).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(5), other.read_to_string(&mut answer));
    read.await.expect("waits for a place").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

mod http2 {
    //! Frames by hand (RFC 9113 §4, §6).

    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const WINDOW_UPDATE: u8 = 8;
    const CONTINUATION: u8 = 9;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    /// `GET http://r/`: three names of the static table, and one value.
    const GET: &[u8] = b"\x82\x86\x84\x41\x01r";
    /// The same without the path.
    const GET_OF: &[u8] = b"\x82\x86\x41\x01r\x04";
    /// `SETTINGS_INITIAL_WINDOW_SIZE`: 0.
    const NO_WINDOW: &[u8] = &[0, 4, 0, 0, 0, 0];
    const ENHANCE_YOUR_CALM: u32 = 11;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn opening(settings: &[u8]) -> Vec<u8> {
        [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()
    }

    /// The error codes of all GOAWAY frames until the gateway closes; `None` when it does not. What
    /// is closed while it is still sent to may lose them.
    async fn goodbye(gateway: &Gateway, sent: Vec<u8>) -> Option<Vec<u32>> {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let writing = tokio::spawn(async move {
            // The gateway may have closed before all is sent.
            let _reset = write.write_all(&sent).await;
            write
        });
        let mut codes = Vec::new();
        let reading = async {
            let mut head = [0; 9];
            while read.read_exact(&mut head).await.is_ok() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let mut payload = vec![0; length as usize];
                if read.read_exact(&mut payload).await.is_err() {
                    break;
                }
                if head[3] == GOAWAY {
                    codes.push(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
                }
            }
        };
        let closed = tokio::time::timeout(Duration::from_secs(5), reading).await;
        drop(writing.await);
        closed.ok().map(|()| codes)
    }

    fn get(stream: u32, path: &str) -> Vec<u8> {
        let length = u8::try_from(path.len()).unwrap();
        let head = [GET_OF, &[length], path.as_bytes()].concat();
        frame(HEADERS, END_STREAM | END_HEADERS, stream, &head)
    }

    /// One connection, its frames read as they come.
    struct Frames(TcpStream);

    impl Frames {
        async fn open(gateway: &Gateway, settings: &[u8]) -> Self {
            let mut stream = TcpStream::connect(gateway.address).await.unwrap();
            stream.write_all(&opening(settings)).await.unwrap();
            Self(stream)
        }

        /// The kind, the stream and the length of the next frame; `None` at the end.
        async fn next(&mut self) -> Option<(u8, u32, u32)> {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
            Some((head[3], stream, length))
        }

        /// How many bytes of answers come before the next reset; the stream that is reset.
        async fn until_reset(&mut self) -> (u32, u32) {
            let mut taken = 0;
            loop {
                let next = tokio::time::timeout(Duration::from_secs(10), self.next());
                match next.await.expect("no stream is reset") {
                    Some((DATA, _, length)) => taken += length,
                    Some((RST_STREAM, stream, _)) => return (taken, stream),
                    Some(_) => {}
                    None => panic!("the connection ended"),
                }
            }
        }
    }

    fn impatient() -> Config {
        Config {
            body_idle_timeout_seconds: 1,
            keep_alive_seconds: 1,
            ..Config::default()
        }
    }

    /// Else they would hold their connections to the registry behind for ever.
    #[tokio::test]
    async fn streams_whose_client_takes_nothing_are_reset() {
        let gateway = Gateway::plain(impatient()).await;
        let mut frames = Frames::open(&gateway, NO_WINDOW).await;
        let sent = [1, 3, 5].map(|stream| get(stream, "/large")).concat();
        frames.0.write_all(&sent).await.unwrap();
        let mut reset = Vec::new();
        for _ in 0..3 {
            let (taken, stream) = frames.until_reset().await;
            assert_eq!(taken, 0);
            reset.push(stream);
        }
        reset.sort_unstable();
        assert_eq!(reset, [1, 3, 5]);
        others_are_served(&gateway).await;
    }

    #[tokio::test]
    async fn a_client_that_opens_its_window_now_and_then_is_not_cut_off() {
        const STEP: u32 = 64 << 10;
        let gateway = Gateway::plain(impatient()).await;
        let mut frames = Frames::open(&gateway, b"").await;
        frames.0.write_all(&get(1, "/large")).await.unwrap();
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let more = STEP.to_be_bytes();
            let of_both = [
                frame(WINDOW_UPDATE, 0, 0, &more),
                frame(WINDOW_UPDATE, 0, 1, &more),
            ];
            frames.0.write_all(&of_both.concat()).await.unwrap();
        }
        let (taken, stream) = frames.until_reset().await;
        assert_eq!((taken, stream), (65_535 + 5 * STEP, 1));
    }

    /// The end of an answer is not watched by itself.
    #[tokio::test]
    async fn a_connection_that_takes_no_answer_is_closed_in_the_end() {
        let gateway = Gateway::plain(impatient()).await;
        let mut frames = Frames::open(&gateway, NO_WINDOW).await;
        let sent = [get(1, "/"), get(3, "/page")].concat();
        frames.0.write_all(&sent).await.unwrap();
        let closed = async { while frames.next().await.is_some() {} };
        let closed = tokio::time::timeout(Duration::from_secs(10), closed);
        closed.await.expect("still open");
    }

    #[tokio::test]
    async fn rapid_resets_end_the_connection() {
        let gateway = Gateway::plain(Config::default()).await;
        let mut sent = opening(b"");
        for number in 0..20_000 {
            let stream = 2 * number + 1;
            sent.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, GET));
            sent.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        let codes = goodbye(&gateway, sent).await.expect("still open");
        assert!(
            codes.iter().all(|code| *code == ENHANCE_YOUR_CALM),
            "{codes:?}"
        );
        others_are_served(&gateway).await;
    }

    #[tokio::test]
    async fn a_flood_of_continuations_ends_the_connection() {
        let gateway = Gateway::plain(Config::default()).await;
        for piece in [&b""[..], &[b"\x00\x01a\x7f", &[b'b'; 127][..]].concat()] {
            let mut sent = opening(b"");
            sent.extend(frame(HEADERS, END_STREAM, 1, GET));
            for _ in 0..50_000 {
                sent.extend(frame(CONTINUATION, 0, 1, piece));
            }
            let codes = goodbye(&gateway, sent).await.expect("still open");
            assert!(
                codes.iter().all(|code| *code != 0),
                "{} bytes each",
                piece.len()
            );
        }
        others_are_served(&gateway).await;
    }

    #[tokio::test]
    async fn a_huge_header_table_is_not_filled() {
        let gateway = Gateway::plain(Config::default()).await;
        // SETTINGS_HEADER_TABLE_SIZE, 4 GiB: what the gateway may keep of its own answers.
        let mut sent = opening(&[0, 1, 0xff, 0xff, 0xff, 0xff]);
        // A change of the gateway's own table to more than it allows (RFC 7541 §4.2).
        sent.extend(frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            1,
            &[b"\x3f\xe1\xff\x0f", GET].concat(),
        ));
        let codes = goodbye(&gateway, sent).await.expect("still open");
        assert!(codes.iter().all(|code| *code != 0), "{codes:?}");
        others_are_served(&gateway).await;
    }

    /// A few bytes stand for megabytes: one entry of the table, named over and over.
    #[tokio::test]
    async fn a_bomb_of_compressed_headers_does_not_go_off() {
        let gateway = Gateway::plain(Config::default()).await;
        let entry = [&b"\x40\x01a\x7f\xa1\x1e"[..], &[b'b'; 4000][..]].concat();
        let mut sent = opening(b"");
        let bomb = [GET, &entry, &[0xbe; 12_000]].concat();
        sent.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, &bomb));
        let codes = goodbye(&gateway, sent).await.expect("still open");
        assert!(codes.iter().all(|code| *code != 0), "{codes:?}");
        others_are_served(&gateway).await;
    }

    #[tokio::test]
    async fn a_flood_of_pings_or_settings_does_not_pile_up_answers() {
        let gateway = Gateway::plain(Config::default()).await;
        for one in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, b"")] {
            let mut sent = opening(b"");
            sent.extend(one.repeat(100_000));
            // Never read from; the gateway must not go on reading for ever.
            let mut stream = TcpStream::connect(gateway.address).await.unwrap();
            let writing = stream.write_all(&sent);
            let _blocked = tokio::time::timeout(Duration::from_secs(1), writing).await;
            others_are_served(&gateway).await;
        }
    }
}
