//! What a client may ask for, and from where.

use super::*;

async fn limited(limits: Limits) -> Gateway {
    Gateway::limited(Config::default(), tls::Mode::Off, Access::default(), limits).await
}

fn get(path: &str, user: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: r\r\nUser: {user}\r\nConnection: close\r\n\r\n")
}

fn networks(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let gateway = limited(Limits {
        requests_per_second: 0.01,
        requests_burst: 2,
        token_requests_per_second: 0.01,
        token_requests_burst: 1,
        max_wait_ms: 0,
        ..Limits::default()
    })
    .await;
    let statuses = async |path: &str, times: usize| {
        let mut statuses = Vec::new();
        for _ in 0..times {
            let answer = gateway.send(get(path, "mary")).await;
            statuses.push(answer[9..12].to_owned());
        }
        statuses
    };
    assert_eq!(statuses("/v2/", 3).await, ["200", "200", "429"]);
    assert_eq!(statuses("/token", 2).await, ["200", "429"]);
    assert_eq!(statuses("/healthz", 3).await, ["200", "200", "200"]);
    for (path, code) in [("/v2/", "TOOMANYREQUESTS"), ("/api", "TOO_MANY_REQUEST")] {
        let answer = gateway.send(get(path, "mary")).await;
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(
            answer.contains("content-type: application/json\r\n"),
            "{answer}"
        );
        let (_, after) = answer.split_once("retry-after: ").unwrap();
        let seconds: u64 = after.split("\r\n").next().unwrap().parse().unwrap();
        assert!((90..=100).contains(&seconds), "{seconds}");
        let body =
            format!(r#"{{"errors":[{{"code":"{code}","message":"too many requests from 127"#);
        assert!(answer.contains(&body), "{answer}");
    }
    assert_eq!(gateway.metrics.limited_requests.get(), 4);
}

#[tokio::test]
async fn users_are_limited_each_for_themselves() {
    let gateway = limited(Limits {
        user_requests_per_second: 0.01,
        user_requests_burst: 1,
        max_wait_ms: 0,
        ..Limits::default()
    })
    .await;
    for (user, status) in [("mary", "200"), ("mary", "429"), ("robot$ci", "200")] {
        let answer = gateway.send(get("/v2/", user)).await;
        assert_eq!(&answer[9..12], status, "{user}");
    }
}

#[tokio::test]
async fn a_burst_is_served_late_rather_than_refused() {
    let gateway = limited(Limits {
        requests_per_second: 20.0,
        requests_burst: 1,
        max_wait_ms: 60_000,
        ..Limits::default()
    })
    .await;
    let begun = std::time::Instant::now();
    let requests = (0..5).map(|_| gateway.send(get("/v2/", "mary")));
    for answer in futures_util::future::join_all(requests).await {
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert!(begun.elapsed().as_millis() >= 190, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn proxies_are_limited_by_whom_they_speak_for() {
    let config = Config {
        trusted_proxies: networks(&["127.0.0.1"]).try_into().unwrap(),
        ..Config::default()
    };
    let limits = Limits {
        requests_per_second: 0.01,
        requests_burst: 1,
        max_wait_ms: 0,
        connections_per_address: 1,
        ..Limits::default()
    };
    let gateway = Gateway::limited(config, tls::Mode::Off, Access::default(), limits).await;
    let from = |client: &str| {
        get("/v2/", "mary").replace("Host", &format!("X-Forwarded-For: {client}\r\nHost"))
    };
    let _kept_open = TcpStream::connect(gateway.address).await.unwrap();
    for (client, status) in [
        ("192.0.2.1", "200"),
        ("192.0.2.1", "429"),
        ("192.0.2.2", "200"),
        ("2001:db8::1", "200"),
        ("2001:db8::2", "429"),
    ] {
        let answer = gateway.send(from(client)).await;
        assert_eq!(&answer[9..12], status, "{client}");
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_no_more() {
    let gateway = limited(Limits {
        connections_per_address: 2,
        ..Limits::default()
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: r\r\n\r\n")
            .await
            .unwrap();
        let mut some = [0; 12];
        stream.read_exact(&mut some).await.unwrap();
        open.push(stream);
    }
    for _ in 0..1000 {
        let mut third = TcpStream::connect(gateway.address).await.unwrap();
        assert!(!matches!(third.read(&mut [0; 1]).await, Ok(1..)));
    }
    // Who is there is served on, and a place that is left is free again.
    open.pop();
    loop {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let _closed_at_once = stream.write_all(get("/", "mary").as_bytes()).await;
        if matches!(stream.read(&mut [0; 1]).await, Ok(1)) {
            break;
        }
    }
    let mut registry = prometheus_client::registry::Registry::default();
    gateway.metrics.register(&mut registry);
    let page = crate::telemetry::exposition(&registry);
    assert!(
        page.contains(r#"handshake_failures_total{reason="too_many"} 1"#),
        "{page}"
    );
}

#[tokio::test]
async fn networks_that_are_denied_are_told_so() {
    let access = Access {
        listener: networks(&["deny 127.0.0.2"]).try_into().unwrap(),
        metrics: networks(&["allow 10.0.0.0/8", "deny all"])
            .try_into()
            .unwrap(),
        ..Access::default()
    };
    let gateway =
        Gateway::limited(Config::default(), tls::Mode::Off, access, Limits::default()).await;
    assert!(gateway.send(get("/v2/", "mary")).await.contains(" 200 "));
    let refused = gateway.send(get("/metrics", "mary")).await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(
        refused
            .contains(r#"{"errors":[{"code":"DENIED","message":"127.0.0.1 may not come here"}]}"#),
        "{refused}"
    );
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let mut other = socket.connect(gateway.address).await.unwrap();
    other
        .write_all(get("/v2/", "mary").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[tokio::test]
async fn an_answer_keeps_to_its_speed() {
    let gateway = limited(Limits {
        response_kib_per_second: 16 << 10,
        response_full_speed_mib: 24,
        ..Limits::default()
    })
    .await;
    let begun = std::time::Instant::now();
    let answer = gateway.send(get("/large", "mary")).await;
    assert!(answer.len() > LARGE);
    let took = begun.elapsed().as_millis();
    assert!(took >= 450, "{took} ms for 8 MiB at 16 MiB/s");
}
