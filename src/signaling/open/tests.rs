//! Real sockets on this machine, and a resolver of the test's own.

use super::*;
use crate::config::{ProxyConfig, ServerConfig};
use crate::signaling::trust::Trust;
use futures_util::SinkExt;
use std::path::Path;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

const PATIENCE: Duration = Duration::from_secs(5);

/// A server's settings, with the rest from `toml`.
fn server(url: &str, toml: &str) -> Server {
    let config: ServerConfig =
        toml::from_str(&format!("url = {url:?}\n{toml}")).expect("a section");
    Server::new(&config).expect("usable")
}

/// A port that swallows who knocks: the queue of those to be let in is full,
/// and the kernel drops what asks for more (listen(2)).
struct Swallower {
    address: SocketAddr,
    _kept: (TcpListener, Vec<TcpStream>),
}

impl Swallower {
    async fn on(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(address).expect("a free port");
        let listener = socket.listen(0).expect("it listens");
        let address = listener.local_addr().expect("bound");
        let mut waiting = Vec::new();
        while let Ok(tcp) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            waiting.push(tcp.expect("connected"));
            assert!(waiting.len() < 10, "the queue has no end");
        }
        Self {
            address,
            _kept: (listener, waiting),
        }
    }
}

/// What the server was asked with.
type Asked = Arc<Mutex<Vec<Request>>>;

/// A WebSocket server on a port of 127.0.0.1 that remembers how it was asked
/// and says one word.
async fn websockets(tls: Option<TlsAcceptor>) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let asked = Asked::default();
    let remembered = asked.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (tls, asked) = (tls.clone(), remembered.clone());
            tokio::spawn(async move {
                let stream: Box<dyn Stream> = match tls {
                    Some(tls) => Box::new(tls.accept(tcp).await.ok()?),
                    None => Box::new(tcp),
                };
                #[allow(clippy::result_large_err, reason = "the library's")]
                let answer = |request: &Request, mut response: Response| {
                    asked.lock().expect("not poisoned").push(request.clone());
                    let json = HeaderValue::from_static("json");
                    response
                        .headers_mut()
                        .insert("Sec-WebSocket-Protocol", json);
                    Ok(response)
                };
                let mut socket = tokio_tungstenite::accept_hdr_async(stream, answer)
                    .await
                    .ok()?;
                socket.send(Message::text("word")).await.ok()?;
                while socket.next().await.is_some() {}
                Some(())
            });
        }
    });
    (address, asked)
}

/// A server that answers every request with this text.
async fn answering(text: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 2000];
                let _ = tcp.read(&mut request).await;
                let _ = tcp.write_all(text.as_bytes()).await;
            });
        }
    });
    address
}

/// A certificate of one's own making for localhost, as PEM, and who shows it.
fn shown(is_authority: bool) -> (tempfile::NamedTempFile, TlsAcceptor) {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("a name");
    if is_authority {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("signed");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), certificate.pem()).expect("written");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a pair");
    (file, TlsAcceptor::from(Arc::new(config)))
}

async fn trouble(server: &Server) -> Trouble {
    match server.open(PATIENCE).await {
        Ok(_) => panic!("it opened"),
        Err(trouble) => trouble,
    }
}

#[tokio::test]
async fn an_address_that_swallows_everything_costs_a_quarter_of_a_second() {
    let (good, _) = websockets(None).await;
    let dead = Swallower::on(([127, 0, 0, 2], good.port()).into()).await;
    assert_eq!(dead.address.port(), good.port());
    let mut server = server(
        &format!("ws://two.test:{}/", good.port()),
        "proxy = \"none\"",
    );
    server.resolver = Resolver::of(move |host, family| {
        assert_eq!(host, "two.test");
        Ok(match family {
            Family::V6 => Vec::new(),
            Family::V4 => vec![dead.address, good],
        })
    });
    let start = Instant::now();
    let mut opened = server.open(PATIENCE).await.expect("the other one answers");
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(250),
        "the first was not tried: {took:?}"
    );
    assert!(took < Duration::from_millis(900), "{took:?}");
    assert_eq!(opened.local, Some([127, 0, 0, 1].into()));
    let word = opened.socket.next().await.expect("a frame").expect("whole");
    assert_eq!(word, Message::text("word"));
}

#[tokio::test]
async fn a_resolver_that_swallows_one_question_holds_nothing_up() {
    let (good, _) = websockets(None).await;
    let mut server = server(
        &format!("ws://half.test:{}/", good.port()),
        "proxy = \"none\"",
    );
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = Mutex::new(ended);
    server.resolver = Resolver::of(move |_, family| match family {
        Family::V6 => {
            let _ = ended.lock().expect("not poisoned").recv();
            Ok(Vec::new())
        }
        Family::V4 => Ok(vec![good]),
    });
    let start = Instant::now();
    server.open(PATIENCE).await.expect("it answers");
    assert!(
        start.elapsed() < Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    drop(end);
}

#[tokio::test]
async fn of_addresses_that_all_fail_the_one_that_came_furthest_is_told() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = free.local_addr().expect("bound");
    drop(free);
    let login = answering("HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic\r\n\r\n").await;
    let dead = Swallower::on(([127, 0, 0, 2], login.port()).into()).await;
    let say = async |addresses: Vec<SocketAddr>, port: u16| {
        let mut server = server(&format!("ws://h.test:{port}/"), "proxy = \"none\"");
        server.resolver = Resolver::of(move |_, family| match family {
            Family::V6 => Err(std::io::Error::other("no such name")),
            Family::V4 => Ok(addresses.clone()),
        });
        match server.open(Duration::from_millis(1200)).await {
            Ok(_) => panic!("it opened"),
            Err(trouble) => trouble.what,
        }
    };
    assert!(say(vec![nobody], nobody.port()).await.contains("refuses"));
    assert!(
        say(vec![dead.address], dead.address.port())
            .await
            .contains("no answer")
    );
    let both = say(vec![dead.address, login], login.port()).await;
    assert!(both.contains("asks for a login"), "{both}");
    assert!(say(Vec::new(), 1).await.contains("no such name"));
}

#[tokio::test]
async fn a_server_that_takes_the_connection_and_is_mute_is_told_from_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    for url in [
        format!("ws://127.0.0.1:{port}/"),
        format!("wss://localhost:{port}/"),
    ] {
        match server(&url, "").open(Duration::from_secs(1)).await {
            Ok(_) => panic!("it opened"),
            Err(trouble) => assert!(trouble.what.contains("says nothing"), "{trouble:?}"),
        }
    }
}

#[tokio::test]
async fn a_login_and_a_name_of_its_own_are_sent_and_a_changed_password_is_taken() {
    let (address, asked) = websockets(None).await;
    let password = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(password.path(), "open sesame\n").expect("written");
    let server = server(
        &format!("ws://{address}/cam/?x=y"),
        &format!(
            "username = \"Aladdin\"\npassword_file = {:?}",
            password.path()
        ),
    );
    server.open(PATIENCE).await.expect("it opens");
    std::fs::write(password.path(), "new\n").expect("written");
    server.open(PATIENCE).await.expect("it opens");
    let asked = asked.lock().expect("not poisoned");
    let header = |n: usize, name: &str| asked[n].headers()[name].to_str().expect("text").to_owned();
    assert_eq!(
        header(0, "authorization"),
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    );
    assert_eq!(header(1, "authorization"), "Basic QWxhZGRpbjpuZXc=");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(header(0, "user-agent"), format!("camera-agent/{version}"));
    assert_eq!(header(0, "sec-websocket-protocol"), "json");
    assert_eq!(
        asked[0].uri().path_and_query().expect("a path"),
        "/cam/?x=y"
    );
}

#[tokio::test]
async fn the_server_s_own_certificate_is_enough_and_another_one_is_not() {
    for is_authority in [true, false] {
        let (file, acceptor) = shown(is_authority);
        let (address, _) = websockets(Some(acceptor)).await;
        let url = format!("wss://localhost:{}/", address.port());
        let named = |path: &Path| server(&url, &format!("ca_file = {path:?}"));
        named(file.path())
            .open(PATIENCE)
            .await
            .expect("it is in the file");
        let (other, _) = shown(is_authority);
        let trouble = trouble(&named(other.path())).await;
        assert!(
            trouble.what.contains("none of those in server.ca_file"),
            "{trouble:?}"
        );
        // A renewed one is taken at the next try.
        let renewed = named(other.path());
        std::fs::copy(file.path(), other.path()).expect("copied");
        renewed.open(PATIENCE).await.expect("it is in the file now");
        let url = format!("wss://127.0.0.1:{}/", address.port());
        let by_address = server_with(&url, file.path());
        let trouble = super::tests::trouble(&by_address).await;
        assert!(trouble.what.contains("another name"), "{trouble:?}");
    }
}

fn server_with(url: &str, ca_file: &Path) -> Server {
    server(url, &format!("ca_file = {ca_file:?}"))
}

#[tokio::test]
async fn answers_that_open_no_websocket_are_called_by_their_names() {
    for (answer, words) in [
        (
            "HTTP/1.1 301 x\r\nLocation: https://new.test/cam/\r\n\r\n",
            "https://new.test/cam/",
        ),
        ("HTTP/1.1 403 x\r\n\r\n", "forbids"),
        ("HTTP/1.1 404 x\r\n\r\n", "no chat server at /cam/"),
        ("HTTP/1.1 502 x\r\n\r\n", "does not reach the chat server"),
        ("SSH-2.0-x\r\n\r\n", "does not speak WebSocket"),
        ("\x15\x03\x01\x00\x02\x02\x46", "does not speak WebSocket"),
    ] {
        let address = answering(answer).await;
        let trouble = trouble(&server(&format!("ws://{address}/cam/"), "")).await;
        assert!(trouble.what.contains(words), "{answer}: {trouble:?}");
    }
    let plain = answering("HTTP/1.1 400 x\r\n\r\n").await;
    let trouble = trouble(&server(&format!("wss://localhost:{}/", plain.port()), "")).await;
    assert!(trouble.what.contains("does not speak TLS"), "{trouble:?}");
}

/// A proxy that makes tunnels, for who says `expected`, to whatever is asked
/// for at `to`.
async fn proxy_to(to: SocketAddr, expected: &'static str, tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let mut stream: Box<dyn Stream> = match tls {
                    Some(tls) => Box::new(tls.accept(tcp).await.ok()?),
                    None => Box::new(tcp),
                };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.ok()?);
                    if !head.starts_with(b"C") {
                        return stream.write_all(b"HTTP/1.1 400 x\r\n\r\n").await.ok();
                    }
                }
                let head = String::from_utf8(head).ok()?;
                if !head.starts_with("CONNECT cam.test:443 HTTP/1.1\r\n")
                    || !head.contains(expected)
                {
                    let no = b"HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n";
                    return stream.write_all(no).await.ok();
                }
                stream
                    .write_all(b"HTTP/1.1 200 Tunnel\r\n\r\n")
                    .await
                    .ok()?;
                let mut onward = TcpStream::connect(to).await.ok()?;
                tokio::io::copy_bidirectional(&mut stream, &mut onward)
                    .await
                    .ok()?;
                Some(())
            });
        }
    });
    address
}

#[tokio::test]
async fn a_proxy_leads_to_the_server_with_tls_through_it_and_around_it() {
    let mut params =
        rcgen::CertificateParams::new(vec!["cam.test".into(), "127.0.0.1".into()]).expect("names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("signed");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), certificate.pem()).expect("written");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (to, _) = websockets(Some(acceptor.clone())).await;
    // "camera:north"
    let login = "Proxy-Authorization: Basic Y2FtZXJhOm5vcnRo\r\n";
    let plain = proxy_to(to, login, None).await;
    let encrypted = proxy_to(to, login, Some(acceptor)).await;
    let through = |proxy: &str| {
        let text = format!("ca_file = {:?}\nproxy = {proxy:?}", file.path());
        server("wss://cam.test/", &text)
    };
    through(&format!("http://camera:north@{plain}"))
        .open(PATIENCE)
        .await
        .expect("a way");
    through(&format!("https://camera:north@{encrypted}"))
        .open(PATIENCE)
        .await
        .expect("a way");
    for (proxy, words) in [
        (format!("http://{plain}"), "asks for a login (407)"),
        (format!("http://camera:south@{plain}"), "refuses the user"),
        (format!("https://camera:north@{plain}"), "fails at TLS"),
    ] {
        let trouble = trouble(&through(&proxy)).await;
        let shown = format!("{plain} (server.proxy)");
        assert!(
            trouble.what.contains(words) && trouble.what.contains(&shown),
            "{trouble:?}"
        );
        assert!(!trouble.line().contains("outh") && !trouble.line().contains("north"));
    }
}

#[test]
fn a_proxy_over_tls_is_trusted_like_a_server() {
    let config: ServerConfig =
        toml::from_str("url = \"ws://h/\"\nproxy = \"https://p\"").expect("a section");
    assert!(matches!(config.proxy, ProxyConfig::At(_)));
    let server = Server::new(&config).expect("usable");
    assert!(
        server
            .trust
            .as_ref()
            .is_some_and(|trust: &Trust| trust.tls().is_ok())
    );
}
