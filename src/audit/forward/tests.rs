use std::{path::Path, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::DropGuard;

use super::*;
use crate::{
    audit::{Event, Log, Operation, Outcome, Recorder, View},
    clock::{ManualClock, SharedClock, SystemClock, Timestamp},
    settings::{Reader, Values},
    store::{
        Listing,
        testing::{TestDb, databases, sqlite},
    },
};

/// A recorder whose writer and forwarder run.
struct World {
    recorder: Recorder,
    settings: Reader,
    forwarder: JoinHandle<()>,
    stop: DropGuard,
}

impl World {
    fn over(db: &TestDb, config: &Config) -> Self {
        let clock = ManualClock::at(Timestamp::from_seconds(1_800_000_000));
        let settings = Reader::default();
        let (recorder, writer) = Recorder::open((*db).clone(), clock, config);
        let (recorder, forwarder) = recorder.forwarding(config, settings.clone()).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(writer.run(stop.clone()));
        let forwarder = tokio::spawn(forwarder.run(stop.clone()));
        Self {
            recorder,
            settings,
            forwarder,
            stop: stop.drop_guard(),
        }
    }

    fn send_to(&self, endpoint: String) {
        self.settings.set(Values {
            audit_log_forward_endpoint: endpoint,
            ..Values::default()
        });
    }

    fn record(&self, resources: impl IntoIterator<Item = usize>) {
        for number in resources {
            self.recorder.record(event(&format!("thing {number}")));
        }
    }

    fn counts(&self, place: Place) -> (u64, u64) {
        let metrics = self.recorder.metrics();
        (metrics.sent(place).get(), metrics.unsent(place).get())
    }
}

fn event(resource: &str) -> Event {
    Event {
        user: "älice".to_owned(),
        operation: Operation::Create,
        resource_type: "user",
        resource: resource.to_owned(),
        project: None,
        outcome: Outcome::Succeeded,
        description: String::new(),
        source: None,
        request_id: None,
    }
}

/// What a receiver hears of [`event`].
fn expected(number: usize) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    format!(
        "<110>1 2027-01-15T08:00:00Z {} tidegate {} create_user [tidegate@32473 \
         operation=\"create\" resource_type=\"user\" resource=\"thing {number}\" \
         result=\"success\" user=\"älice\"] \u{feff}älice: create user thing {number}",
        host.trim(),
        std::process::id(),
    )
}

/// Reads one message behind its length.
async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut length = String::new();
    loop {
        match char::from(stream.read_u8().await.unwrap()) {
            ' ' => break,
            digit => length.push(digit),
        }
    }
    assert!(!length.starts_with('0'), "RFC 6587: no leading zero");
    let mut message = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut message).await.unwrap();
    String::from_utf8(message).unwrap()
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn until(mut holds: impl FnMut() -> bool) {
    let held = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), held).await.unwrap();
}

#[tokio::test]
async fn a_datagram_holds_one_message_and_nothing_else() {
    let db = sqlite().await;
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let world = World::over(&db, &Config::default());
    world.send_to(format!("udp://{}", receiver.local_addr().unwrap()));
    world.record(0..3);
    for number in 0..3 {
        let mut datagram = vec![0; 65_536];
        let length = receiver.recv(&mut datagram).await.unwrap();
        assert_eq!(datagram[..length], *expected(number).as_bytes());
    }
    until(|| world.counts(Place::Syslog) == (3, 0)).await;
}

#[tokio::test]
async fn messages_by_tcp_stand_behind_their_length_in_bytes() {
    let db = sqlite().await;
    let (receiver, address) = listener().await;
    let world = World::over(&db, &Config::default());
    world.send_to(address);
    world.record(0..300);
    let (mut stream, _) = receiver.accept().await.unwrap();
    for number in 0..300 {
        assert_eq!(frame(&mut stream).await, expected(number));
    }
    let more = timeout(Duration::from_millis(100), stream.read_u8()).await;
    assert!(more.is_err(), "nothing follows the last message");
}

#[tokio::test]
async fn a_receiver_with_tls_is_believed_by_its_authority() {
    tls::install_crypto();
    let (db, files) = (sqlite().await, tempfile::tempdir().unwrap());
    let clock: SharedClock = Arc::new(SystemClock);
    let server = |folder: &str| {
        let config = tls::Config::default();
        let path = files.path().join(folder);
        fs::create_dir(&path).unwrap();
        tls::Server::load(&config, &path, &[], clock.clone())
            .unwrap()
            .unwrap()
    };
    let (known, unknown) = (server("known"), server("unknown"));
    let config = Config {
        forward_ca_cert: known.ca_certificate(),
        ..Config::default()
    };
    let world = World::over(&db, &config);
    let (receiver, address) = listener().await;
    let endpoint = address.replace("127.0.0.1", "tls://localhost");
    world.send_to(endpoint);
    world.record([7]);
    let (stream, _) = receiver.accept().await.unwrap();
    let refused = TlsAcceptor::from(unknown.config()).accept(stream).await;
    assert!(refused.is_err(), "somebody else's certificate is refused");
    let acceptor = TlsAcceptor::from(known.config());
    let (stream, _) = receiver.accept().await.unwrap();
    let mut stream = acceptor.accept(stream).await.unwrap();
    assert_eq!(frame(&mut stream).await, expected(7));
    world.record([8]);
    assert_eq!(frame(&mut stream).await, expected(8));
}

#[tokio::test]
async fn a_receiver_that_was_away_gets_what_it_missed() {
    let db = sqlite().await;
    let (receiver, address) = listener().await;
    let world = World::over(&db, &Config::default());
    world.send_to(address.clone());
    world.record([0]);
    let (mut stream, _) = receiver.accept().await.unwrap();
    assert_eq!(frame(&mut stream).await, expected(0));
    drop((stream, receiver));
    world.record(1..250);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.counts(Place::Syslog), (1, 0));
    let receiver = TcpListener::bind(&address).await.unwrap();
    let (mut stream, _) = receiver.accept().await.unwrap();
    for number in 1..250 {
        assert_eq!(frame(&mut stream).await, expected(number));
    }
    drop(stream);
    world.record([250]);
    let (mut stream, _) = receiver.accept().await.unwrap();
    assert_eq!(frame(&mut stream).await, expected(250));
    until(|| world.counts(Place::Syslog) == (251, 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_away_or_takes_nothing_holds_nobody_up() {
    for accepts in [false, true] {
        let db = sqlite().await;
        let (receiver, address) = listener().await;
        let config = Config {
            forward_queue_length: 50,
            queue_length: 50_000,
            ..Config::default()
        };
        let world = World::over(&db, &config);
        world.send_to(address);
        let held = if accepts {
            world.record([0]);
            Some(receiver.accept().await.unwrap())
        } else {
            drop(receiver);
            None
        };
        let large = "x".repeat(2000);
        let began = Instant::now();
        for _ in 0..8000 {
            world.recorder.record(event(&large));
        }
        assert!(began.elapsed() < Duration::from_secs(10));
        let (sent, unsent) = world.counts(Place::Syslog);
        assert!(unsent >= 1000, "{sent} sent, {unsent} not");
        assert_eq!(world.recorder.metrics().dropped.get(), 0);
        let written = 8000 + u64::from(accepts);
        until(|| world.recorder.metrics().written.get() == written).await;
        drop(held);
    }
}

#[tokio::test]
async fn a_receiver_that_never_stops_talking_is_sent_to() {
    let db = sqlite().await;
    let (receiver, address) = listener().await;
    let world = World::over(&db, &Config::default());
    world.send_to(address);
    world.record([0]);
    let (stream, _) = receiver.accept().await.unwrap();
    let (mut heard, mut said) = stream.into_split();
    assert_eq!(frame(&mut heard).await, expected(0));
    tokio::spawn(async move { while said.write_all(&[b'x'; 4096]).await.is_ok() {} });
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.record([1]);
    let next = timeout(Duration::from_secs(5), frame(&mut heard)).await;
    assert_eq!(next.unwrap(), expected(1));
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_does_not_hold_up_the_stop() {
    let db = sqlite().await;
    let (receiver, address) = listener().await;
    let world = World::over(&db, &Config::default());
    world.send_to(address);
    world.record([0]);
    let _held = receiver.accept().await.unwrap();
    let large = "x".repeat(2000);
    for _ in 0..8000 {
        world.recorder.record(event(&large));
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(world.stop);
    let stopped = timeout(Duration::from_secs(5), world.forwarder).await;
    stopped.unwrap().unwrap();
}

#[tokio::test]
async fn a_changed_receiver_is_sent_to_within_a_second() {
    let db = sqlite().await;
    let (gone, nowhere) = listener().await;
    drop(gone);
    let world = World::over(&db, &Config::default());
    world.send_to(nowhere);
    world.record([1]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (receiver, address) = listener().await;
    world.send_to(address);
    let began = Instant::now();
    let (mut stream, _) = receiver.accept().await.unwrap();
    assert_eq!(frame(&mut stream).await, expected(1));
    assert!(began.elapsed() < Duration::from_secs(1));
    world.send_to(String::new());
    world.record([2]);
    let more = timeout(Duration::from_millis(200), stream.read_u8()).await;
    assert!(!matches!(more, Ok(Ok(_))), "no receiver is set any more");
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let resources = text.lines().map(|line| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["resource"].as_str().unwrap().to_owned()
    });
    resources.collect()
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_begun_anew() {
    let (db, files) = (sqlite().await, tempfile::tempdir().unwrap());
    let (path, rotated) = (
        files.path().join("audit.json"),
        files.path().join("audit.json.1"),
    );
    let config = Config {
        forward_json: Some(path.clone()),
        ..Config::default()
    };
    let world = World::over(&db, &config);
    world.record([1, 2]);
    until(|| lines(&path).len() == 2).await;
    fs::rename(&path, &rotated).unwrap();
    world.record([3]);
    until(|| lines(&path).len() == 1).await;
    assert_eq!(lines(&path), ["thing 3"]);
    assert_eq!(lines(&rotated), ["thing 1", "thing 2"]);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "").unwrap();
    world.record([4]);
    until(|| lines(&path) == ["thing 4"]).await;
    until(|| world.counts(Place::File) == (4, 0)).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_tried_again() {
    let (db, files) = (sqlite().await, tempfile::tempdir().unwrap());
    let folder = files.path().join("later");
    let path = folder.join("audit.json");
    let config = Config {
        forward_json: Some(path.clone()),
        ..Config::default()
    };
    let world = World::over(&db, &config);
    world.record([1]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.counts(Place::File), (0, 0));
    fs::create_dir(&folder).unwrap();
    until(|| lines(&path) == ["thing 1"]).await;
}

#[tokio::test]
async fn the_settings_say_what_is_recorded_and_where() {
    for db in databases().await {
        let (_receiver, address) = listener().await;
        let world = World::over(&db, &Config::default());
        let disabled = |types: &str, skip, endpoint: &str| {
            world.settings.set(Values {
                disabled_audit_log_event_types: types.to_owned(),
                skip_audit_log_database: skip,
                audit_log_forward_endpoint: endpoint.to_owned(),
                ..Values::default()
            });
        };
        disabled("delete_user,create_user", false, &address);
        world.record([1]);
        disabled("", true, &address);
        world.record([2]);
        disabled("delete_user", true, "");
        world.record([3]);
        disabled("not a type", false, &address);
        world.record([4]);
        until(|| world.recorder.metrics().written.get() == 2).await;
        until(|| world.counts(Place::Syslog) == (2, 0)).await;
        let log = Log::new((*db).clone());
        let page = log.entries(&View::Everything, &Listing::default()).await;
        let page = page.unwrap();
        let written: Vec<&str> = page.items.iter().map(|entry| &*entry.resource).collect();
        assert_eq!(written, ["thing 4", "thing 3"]);
        assert_eq!(page.total, 2, "the totals are those of the entries");
    }
}

#[tokio::test]
async fn what_the_queue_does_not_take_is_written_although_the_database_is_skipped() {
    for db in databases().await {
        let (gone, nowhere) = listener().await;
        drop(gone);
        let config = Config {
            forward_queue_length: 2,
            ..Config::default()
        };
        let world = World::over(&db, &config);
        world.settings.set(Values {
            skip_audit_log_database: true,
            audit_log_forward_endpoint: nowhere,
            ..Values::default()
        });
        world.record(0..5);
        until(|| world.recorder.metrics().written.get() == 3).await;
        assert_eq!(world.counts(Place::Syslog), (0, 3));
        drop(world.stop);
        world.forwarder.await.unwrap();
    }
}

#[tokio::test]
async fn what_waits_for_a_receiver_that_is_unset_counts_as_unsent() {
    let db = sqlite().await;
    let (gone, nowhere) = listener().await;
    drop(gone);
    let world = World::over(&db, &Config::default());
    world.send_to(nowhere);
    world.record(0..3);
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.send_to(String::new());
    until(|| world.counts(Place::Syslog) == (0, 3)).await;
}

#[tokio::test]
async fn a_certificate_file_that_is_no_good_is_named() {
    let (db, files) = (sqlite().await, tempfile::tempdir().unwrap());
    let path = files.path().join("ca.crt");
    for content in [None, Some("no certificate")] {
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let config = Config {
            forward_ca_cert: Some(path.clone()),
            ..Config::default()
        };
        let clock = ManualClock::at(Timestamp::from_seconds(0));
        let (recorder, _writer) = Recorder::open((*db).clone(), clock, &config);
        let error = recorder.forwarding(&config, Reader::default()).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("audit.forward_ca_cert: "), "{text}");
        assert!(text.contains("ca.crt"), "{text}");
    }
}
