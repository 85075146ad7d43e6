//! Certificates, and what keeps a server from starting.

use super::*;

/// A TLS connection of somebody who trusts only this certificate.
pub async fn trusting(
    addr: SocketAddr,
    cert: &str,
) -> Result<MaybeTlsStream<TcpStream>, std::io::Error> {
    let mut roots = rustls::RootCertStore::empty();
    let cert = rustls::pki_types::CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
    roots.add(cert).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(addr).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await?;
    Ok(MaybeTlsStream::Rustls(stream))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_taken_and_nobody_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let files = Tls {
        cert: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
    };
    let write = |(cert, key): &(String, String)| {
        std::fs::write(&files.cert, cert).unwrap();
        std::fs::write(&files.key, key).unwrap();
    };
    let (first, second) = (certificate(), certificate());
    write(&first);
    let mut options = options();
    options.tls = Some(files.clone());
    options.certificate_check = Duration::from_millis(50);
    let chat = Chat::with(options).await;
    let stream = trusting(chat.addr, &first.0).await.unwrap();
    let mut request = format!("wss://localhost:{}/", chat.addr.port())
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", "json".parse().unwrap());
    let (mut alice, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();

    write(&second);
    crate::support::until("the second certificate", SOON, async || {
        trusting(chat.addr, &second.0).await.ok()
    })
    .await;
    assert!(
        trusting(chat.addr, &first.0).await.is_err(),
        "the first is gone"
    );
    // Who was there before is there still.
    alice.send(Message::Ping("here".into())).await.unwrap();
    loop {
        match timeout(SOON, alice.next()).await.unwrap().unwrap().unwrap() {
            Message::Pong(data) => break assert_eq!(data, "here"),
            Message::Close(_) => panic!("closed"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_certificate_again_and_ends_nothing() {
    let (cert, key) = certificate();
    let (cert_file, key) = (crate::support::file(&cert), crate::support::file(&key));
    // The certificate is the file's, and the flag wins over its address.
    let config = crate::support::file(&format!(
        "listen = \"192.0.2.1:1\"\ncert = {:?}\nkey = {:?}\n",
        cert_file.path(),
        key.path()
    ));
    let mut server = tokio::process::Command::new(env!("CARGO_BIN_EXE_camera-agent"))
        .args(["chat", "--listen", "127.0.0.1:0", "--config"])
        .arg(config.path())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines();
    let mut says = async |words: &str| loop {
        let line = timeout(SOON, log.next_line())
            .await
            .expect("in time")
            .unwrap();
        let line = line.unwrap_or_else(|| panic!("it ended before it said {words:?}"));
        if line.contains(words) {
            return line;
        }
    };
    let line = says("the page is at https://localhost:").await;
    let port = line.split("localhost:").nth(1).unwrap();
    let port: u16 = port.split('/').next().unwrap().parse().unwrap();
    let pid = server.id().unwrap().to_string();
    let hang_up = || {
        let sent = std::process::Command::new("kill")
            .args(["-HUP", &pid])
            .status();
        assert!(sent.unwrap().success());
    };
    hang_up();
    says("took the certificate and key anew").await;
    std::fs::write(key.path(), "no key").unwrap();
    hang_up();
    let line = says("stays in use").await;
    assert!(line.contains(key.path().to_str().unwrap()), "{line}");
    trusting(([127, 0, 0, 1], port).into(), &cert)
        .await
        .expect("the certificate of before stays");
    assert!(server.try_wait().unwrap().is_none());
}

#[tokio::test]
async fn with_a_certificate_it_speaks_wss() {
    let (cert, key) = certificate();
    let files = (crate::support::file(&cert), crate::support::file(&key));
    let mut options = options();
    options.tls = Some(Tls {
        cert: files.0.path().into(),
        key: files.1.path().into(),
    });
    let chat = Chat::with(options).await;
    let request = format!("wss://localhost:{}/", chat.addr.port());
    let mut request = request.into_client_request().unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", "json".parse().unwrap());
    let stream = trusting(chat.addr, &cert).await.unwrap();
    let (socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    let mut alice = User::on(socket).await;
    alice.claim("alice").await;
    alice.list_with("alice").await;
    // Plain HTTP on the TLS port harms nothing.
    get(&chat, "/").await;
    alice.send(json!({"type": "still here"})).await;
    alice.frame("still here").await;
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_named_with_the_remedy() {
    let chat = Chat::start().await;
    let error = Server::bind(Options::new(chat.addr)).await.unwrap_err();
    assert!(matches!(error, Error::PortInUse(_)));
    assert!(error.to_string().contains(&chat.addr.port().to_string()));

    let with = |cert: &std::path::Path, key: &std::path::Path| {
        let mut options = options();
        options.tls = Some(Tls {
            cert: cert.into(),
            key: key.into(),
        });
        Server::bind(options)
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["a", "b"] {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        std::fs::write(path(&format!("{name}.pem")), made.cert.pem()).unwrap();
        std::fs::write(
            path(&format!("{name}.key")),
            made.signing_key.serialize_pem(),
        )
        .unwrap();
    }
    std::fs::write(path("empty"), "").unwrap();
    let missing = with(&path("none.pem"), &path("a.key")).await.unwrap_err();
    assert!(matches!(&missing, Error::Certificate { path, .. } if path.ends_with("none.pem")));
    let empty = with(&path("empty"), &path("a.key")).await.unwrap_err();
    assert!(matches!(empty, Error::Certificate { .. }));
    let no_key = with(&path("a.pem"), &path("empty")).await.unwrap_err();
    assert!(matches!(no_key, Error::Key { .. }));
    let strangers = with(&path("a.pem"), &path("b.key")).await.unwrap_err();
    assert!(matches!(strangers, Error::Pair { .. }), "{strangers}");
}
