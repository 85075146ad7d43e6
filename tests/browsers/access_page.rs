//! Invitations in real browsers: what the page makes of links, codes and keys.
//! Calls to cameras that invite are in tests/browsers/invited.rs.

use std::collections::BTreeMap;

use crate::support::Chat;
use crate::support::browser::{Browser, Person};
use camera_agent::access::{Call, Invite, ProofKey, Side};
use serde_json::{Value, json};

/// A browser on the page, by an address where it has no `crypto.subtle`.
async fn on_plain_http() -> (Chat, Browser) {
    let mut options = crate::support::options();
    options.allowed_origins = vec!["*".into()];
    let chat = Chat::with(options).await;
    let far = Person {
        flags: vec!["--host-resolver-rules=MAP camera.lan 127.0.0.1".into()],
        ..Person::default()
    };
    let browser = Browser::start(far).await;
    let page = chat.page("alice").replace("localhost", "camera.lan");
    browser.open(&page).await;
    assert_eq!(browser.js("typeof crypto.subtle").await, "undefined");
    (chat, browser)
}

async fn on_localhost(person: Person) -> (Chat, Browser) {
    let chat = Chat::start().await;
    let browser = Browser::start(person).await;
    browser.open(&chat.page("alice")).await;
    (chat, browser)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks_exact(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

/// What a function of the page's `module` makes of bytes and numbers.
async fn computed(browser: &Browser, module: &str, call: &str, arguments: Value) -> Value {
    let bytes = "(a) => a.map((each) => Array.isArray(each) ? Uint8Array.from(each) : each)";
    browser
        .promise(&format!(
            "import('./{module}').then(async (m) => {{
                const made = await m.{call}(...({bytes})({arguments}));
                return made instanceof Uint8Array ? [...made] : made;
            }})"
        ))
        .await
}

/// FIPS 180-4's examples (csrc.nist.gov, SHA256.pdf), the empty text, and a million
/// times "a", which is its long one.
#[tokio::test(flavor = "multi_thread")]
async fn sha_256_hmac_and_hkdf_of_plain_http_give_what_is_published() {
    let (_chat, alice) = on_plain_http().await;
    let million = vec![b'a'; 1_000_000];
    for (text, hash) in [
        (
            &b""[..],
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            b"abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (
            &million,
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        ),
    ] {
        let made = computed(&alice, "sha.js", "sha256", json!([text])).await;
        assert_eq!(made, json!(hex(hash)), "{hash}");
    }
    for (key, text, tag) in hmac_vectors() {
        let made = computed(&alice, "sha.js", "hmac", json!([key, text])).await;
        assert_eq!(made, json!(tag));
    }
    for (key, salt, info, output) in hkdf_vectors() {
        let arguments = json!([key, salt, info, output.len()]);
        let made = computed(&alice, "sha.js", "hkdf", arguments).await;
        assert_eq!(made, json!(output));
    }
    alice.clean_console().await;
}

/// RFC 4231 §4.2 to §4.8; the one whose tag is cut (§4.6) says the first half.
fn hmac_vectors() -> Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
    let longer = b"This is a test using a larger than block-size key and a larger than block-size \
        data. The key needs to be hashed before being used by the HMAC algorithm.";
    let all: [(Vec<u8>, Vec<u8>, &str); 6] = [
        (
            vec![0x0b; 20],
            b"Hi There".to_vec(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe".to_vec(),
            b"what do ya want for nothing?".to_vec(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            vec![0xaa; 20],
            vec![0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (
            (1..=25).collect(),
            vec![0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (
            vec![0xaa; 131],
            long.to_vec(),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            vec![0xaa; 131],
            longer.to_vec(),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ];
    all.into_iter()
        .map(|(key, text, tag)| (key, text, hex(tag)))
        .collect()
}

/// Key, salt, info, output.
type HkdfVector = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

/// RFC 5869, A.1 to A.3.
fn hkdf_vectors() -> [HkdfVector; 3] {
    [
        (
            vec![0x0b; 22],
            (0..=0x0c).collect(),
            (0xf0..=0xf9).collect(),
            hex(
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf\
                 34007208d5b887185865",
            ),
        ),
        (
            (0..=0x4f).collect(),
            (0x60..=0xaf).collect(),
            (0xb0..=0xff).collect(),
            hex(
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c\
                 59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71\
                 cc30c58179ec3e87c14c01d5c1f3434f1d87",
            ),
        ),
        (
            vec![0x0b; 22],
            vec![],
            vec![],
            hex(
                "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d\
                 9d201395faa4b61a96c8",
            ),
        ),
    ]
}

/// Any lengths around those of blocks; what random bytes they were is shown where
/// the two differ.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_on_plain_http_gives_what_the_browsers_own_gives() {
    let (_chat, alice) = on_localhost(Person::default()).await;
    let differing = alice
        .promise(
            "(async () => {
                const { sha256, hmac, hkdf } = await import('./sha.js');
                const some = (length) => crypto.getRandomValues(new Uint8Array(length));
                const any = (most) => some(Math.floor(Math.random() * most));
                const differing = [];
                let compared = 0;
                const compare = async (what, mine, theirs) => {
                    compared += 1;
                    if (String(mine) !== String(new Uint8Array(await theirs))) differing.push(what);
                };
                for (let length = 0; length < 300; length += 1) {
                    const text = some(length);
                    await compare(['sha256', ...text], sha256(text), crypto.subtle.digest('SHA-256', text));
                    const key = some(1 + Math.floor(Math.random() * 150));
                    const algorithm = { name: 'HMAC', hash: 'SHA-256' };
                    const known = await crypto.subtle.importKey('raw', key, algorithm, false, ['sign']);
                    await compare(['hmac', key, text], hmac(key, text), crypto.subtle.sign('HMAC', known, text));
                    const [salt, info, size] = [any(100), any(100), 1 + Math.floor(Math.random() * 150)];
                    const base = await crypto.subtle.importKey('raw', text, 'HKDF', false, ['deriveBits']);
                    const derived = crypto.subtle.deriveBits({ name: 'HKDF', hash: 'SHA-256', salt, info }, base, size * 8);
                    await compare(['hkdf', text, salt, info], hkdf(text, salt, info, size), derived);
                }
                return { compared, differing };
            })()",
        )
        .await;
    assert_eq!(differing, json!({"compared": 900, "differing": []}));
    let used = "performance.getEntriesByName(new URL('sha.js', location.href).href).length";
    alice.client.refresh().await.expect("it loads again");
    alice.until_js("the page", "!!window.cameraAgent").await;
    assert_eq!(
        alice.js(used).await,
        0,
        "only where there is nothing better"
    );
}

/// The fingerprint as descriptions have it.
fn printed(fingerprint: &[u8; 32]) -> String {
    fingerprint.map(|byte| format!("{byte:02X}")).join(":")
}

/// A description of which only what is proven counts.
fn description(fingerprint: &[u8; 32], ufrag: &str) -> String {
    let print = printed(fingerprint);
    let section =
        format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:x\r\na=fingerprint:sha-256 {print}\r\n");
    format!("v=0\r\ns=-\r\nm=audio 9 RTP/AVP 0\r\n{section}m=video 9 RTP/AVP 1\r\n{section}")
}

/// The example of docs/protocol.md is that of the program; the page computes the
/// same, by the browser's means and by its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_computes_what_the_camera_does() {
    let (_plain, plain) = on_plain_http().await;
    let (chat, alice) = on_localhost(Person::default()).await;
    let bob = Browser::start(Person::with_firefox()).await;
    bob.open(&chat.page("bob")).await;
    let secret: [u8; 16] = std::array::from_fn(|i| i as u8);
    let viewer: [u8; 32] = std::array::from_fn(|i| i as u8);
    let device: [u8; 32] = std::array::from_fn(|i| 0xff - i as u8);
    let invite = Invite::of(secret);
    let key = ProofKey::of(&invite.key());
    let call = Call {
        camera: "Tür 1 & 2",
        viewer: Side {
            fingerprint: &viewer,
            ufrag: "vIeW",
        },
        id: invite.id(),
    };
    let side = Side {
        fingerprint: &device,
        ufrag: "dEv+/cE",
    };
    let expected = json!({
        "camera": call.camera,
        "access": {"id": invite.id().to_string(), "proof": key.offer(&call)},
        "right": true,
        "wrong": [false, false, false, false],
    });
    let (offer, answer) = (
        description(&viewer, "vIeW"),
        description(&device, "dEv+/cE"),
    );
    let texts = json!({
        "link": format!("https://x/#camera=T%C3%BCr%201%20%26%202&invite={}", invite.code()),
        "offer": offer,
        "answer": answer,
        "proof": key.answer(&call, side),
        "others": [
            answer.replacen("FF:FE", "FF:FF", 1),
            answer.replace("dEv", "dev"),
            offer,
            format!("{answer}a=fingerprint:sha-1 00:11\r\n"),
        ],
    });
    for browser in [&alice, &plain, &bob] {
        let made = browser
            .promise(&format!(
                "(async ({{ link, offer, answer, proof, others }}) => {{
                    const [invite, access] = await Promise.all([import('./invite.js'), import('./access.js')]);
                    const {{ camera, secret }} = await invite.ofLink(link);
                    const {{ id, key }} = await invite.ofSecret(secret);
                    const known = {{ name: camera, id: access.toBase64(id), key: await access.proofKey(key) }};
                    const proofs = new access.Proofs(known, offer);
                    const wrong = [];
                    for (const each of others) wrong.push(await proofs.isOfAnswer(each, {{ proof }}));
                    return {{
                        camera, access: await proofs.offer(), wrong,
                        right: await proofs.isOfAnswer(answer, {{ proof }}),
                    }};
                }})({texts})"
            ))
            .await;
        assert_eq!(made, expected);
        browser.clean_console().await;
    }
}

/// One fingerprint and one user, each as often as there are sections, or nothing:
/// a browser that is given two may go by the other one.
#[tokio::test(flavor = "multi_thread")]
async fn a_description_says_one_fingerprint_and_one_user_or_is_not_taken() {
    let (_chat, alice) = on_localhost(Person::default()).await;
    let good = description(&[0xab; 32], "abcd");
    let line = format!("a=fingerprint:sha-256 {}", printed(&[0xab; 32]));
    let cases = BTreeMap::from([
        ("as it is", (good.clone(), true)),
        ("lines end in LF", (good.replace("\r\n", "\n"), true)),
        ("small letters", (good.to_lowercase(), true)),
        (
            "capitals in the hash's name",
            (good.replace("sha-256", "SHA-256"), true),
        ),
        (
            "another fingerprint beside it",
            (
                format!("{good}a=fingerprint:sha-256 {}\r\n", printed(&[1; 32])),
                false,
            ),
        ),
        (
            "another hash beside it",
            (format!("{good}a=fingerprint:sha-1 AB:CD\r\n"), false),
        ),
        (
            "in capitals",
            (format!("{good}A=FINGERPRINT:SHA-1 AB:CD\r\n"), false),
        ),
        (
            "after a space",
            (format!("{good} a=fingerprint:sha-1 AB:CD\r\n"), false),
        ),
        (
            "a space within",
            (format!("{good}a= fingerprint:sha-1 AB:CD\r\n"), false),
        ),
        (
            "after a lone CR",
            (format!("{good}a=x\ra=fingerprint:sha-1 AB:CD\r\n"), false),
        ),
        (
            "two on a line",
            (
                good.replacen("AB\r\n", "AB a=fingerprint:sha-1 AB\r\n", 1),
                false,
            ),
        ),
        ("a short one", (good.replace(":AB\r\n", "\r\n"), false)),
        ("none", (good.replace(&line, "a=x"), false)),
        ("no user", (good.replace("a=ice-ufrag:abcd", "a=x"), false)),
        (
            "a second user",
            (format!("{good}a=ice-ufrag:efgh\r\n"), false),
        ),
        ("a user of spaces", (good.replace("abcd", "ab cd"), false)),
        ("nothing", (String::new(), false)),
    ]);
    for (what, (sdp, taken)) in cases {
        let made = computed(&alice, "access.js", "sideOf", json!([sdp])).await;
        assert_eq!(!made.is_null(), taken, "{what}: {made}");
    }
}

/// As a person types it, and with a mistake in it.
#[tokio::test(flavor = "multi_thread")]
async fn codes_and_links_are_read_as_the_camera_reads_them() {
    let (_chat, alice) = on_localhost(Person::default()).await;
    let invite = Invite::of(*b"sixteen bytes ..");
    let secret = json!(b"sixteen bytes ..");
    let code = invite.code();
    let read = async |text: &str| computed(&alice, "invite.js", "ofCode", json!([text])).await;
    for typed in [
        code.clone(),
        code.to_lowercase(),
        code.replace('-', " "),
        format!("  {}\n", code.replace('-', "")),
        code.replace('0', "o").replace('1', "l"),
        code.replace('0', "O").replace('1', "I"),
    ] {
        assert_eq!(Invite::parse(&typed).as_ref(), Ok(&invite));
        assert_eq!(read(&typed).await, secret, "{typed}");
    }
    for bad in [
        &code[1..],
        "",
        "no code",
        &"0".repeat(28),
        &"\u{131}".repeat(28),
    ] {
        assert!(Invite::parse(bad).is_err());
        assert_eq!(read(bad).await, Value::Null, "{bad}");
    }
    // One mistake each; what the camera takes for a mistake the page does, too.
    for at in (0..code.len()).filter(|at| &code[*at..=*at] != "-") {
        let other = if &code[at..=at] == "7" { "8" } else { "7" };
        let wrong = format!("{}{other}{}", &code[..at], &code[at + 1..]);
        let same = Invite::parse(&wrong).is_ok();
        assert_eq!(!read(&wrong).await.is_null(), same, "{wrong}");
    }
    let link = async |text: &str| {
        let made = format!(
            "import('./invite.js').then((m) => m.ofLink({})).then((l) => l && [l.camera, [...l.secret]])",
            json!(text)
        );
        alice.promise(&made).await
    };
    for (fragment, camera) in [
        (format!("#camera=porch&invite={code}"), "porch"),
        (
            format!("https://h/x?name=y#invite={code}&x=1&camera=a%26b%3Dc%2B"),
            "a&b=c+",
        ),
        (format!("#camera=p&camera=q&invite={code}&invite="), "p"),
    ] {
        assert_eq!(link(&fragment).await, json!([camera, secret]), "{fragment}");
    }
    for bad in [
        format!("#camera=porch&invite={}", &code[..20]),
        format!("#camera=&invite={code}"),
        format!("#camera=%ff&invite={code}"),
        format!("#invite={code}"),
        "#camera=porch".into(),
        "#".into(),
    ] {
        assert_eq!(link(&bad).await, Value::Null, "{bad}");
    }
}
