use proptest::prelude::*;

use super::*;

fn redactor() -> Redactor {
    Redactor::new([
        (Kind::Name, "Anna Berg".to_owned()),
        (Kind::Name, "camera".to_owned()),
        (Kind::Host, "hut".to_owned()),
        (Kind::Secret, "hush-north9".to_owned()),
        (Kind::Serial, "8A 2F 11".to_owned()),
        (Kind::Serial, "0001".to_owned()),
    ])
}

#[test]
fn what_is_known_goes_and_what_is_everybody_s_stays() {
    let mut r = redactor();
    assert_eq!(
        r.prose("the camera of anna berg at hut is lost; xhush-north9x"),
        "the camera of name-1 at host-1 is lost; xsecret-1x"
    );
    // Words of ours are no names, and parts of words are neither.
    assert_eq!(r.prose("shut, Anna Bergs"), "shut, Anna Bergs");
    assert_eq!(r.ours("hut Anna Berg 0001"), "host-1 Anna Berg 0001");
    assert_eq!(r.prose("8A_2F_11 and 8a 2f 11"), "serial-1 and serial-1");
}

#[test]
fn addresses_keep_their_scheme_and_their_port() {
    let mut r = redactor();
    for (text, shown) in [
        (
            "wss://a:b@cam.example.org:6503/x?token=1#y",
            "wss://…@host-1:6503/…",
        ),
        (
            "(ws://CAM.example.org/): refused",
            "(ws://host-1/): refused",
        ),
        (
            "ws://localhost:6503/ and ws://[::1]/",
            "ws://localhost:6503/ and ws://[::1]/",
        ),
        (
            "turn:192.0.2.7:3478?transport=udp,",
            "turn:ip-1:3478?transport=udp,",
        ),
        ("stun:[2001:db8::7]:3478", "stun:ip-2:3478"),
        ("rtsp://192.0.2.7/door ! x", "rtsp://ip-1/… ! x"),
        ("a turn: the next", "a turn: the next"),
        ("192.0.2.7:5 or 2001:DB8::7.", "ip-1:5 or ip-2."),
        ("127.0.0.1, 0.0.0.0:80, ::1", "127.0.0.1, 0.0.0.0:80, ::1"),
        ("1.22.0 at 30/1 of 12:30:45", "1.22.0 at 30/1 of 12:30:45"),
        ("no cam.example.org here.", "no host-1 here."),
        ("mail to anna@example.net", "mail to name-1"),
        (
            "set video.device, see /usr/lib/x.so",
            "set video.device, see /usr/lib/x.so",
        ),
        (
            "gstv4l2src.c(976): camera-agent.service",
            "gstv4l2src.c(976): camera-agent.service",
        ),
    ] {
        assert_eq!(r.prose(text), shown, "{text}");
    }
}

#[test]
fn paths_of_people_and_numbers_of_things_go() {
    let mut r = redactor();
    for (text, shown) in [
        ("cannot read /home/anna/x y: no", "cannot read path-1 y: no"),
        ("\"/home/anna/x\" ~/cam.toml", "\"path-1\" path-2"),
        ("/etc/camera-agent/door.toml, line 2", "path-3, line 2"),
        (
            "/etc/camera-agent/camera-agent.toml",
            "/etc/camera-agent/camera-agent.toml",
        ),
        (
            "/dev/video0: busy; and/or 1/2 /",
            "/dev/video0: busy; and/or 1/2 /",
        ),
        ("/dev/hut-cam", "/dev/host-1-cam"),
        (
            "/GstPipeline:pipeline0/GstV4l2Src:device:",
            "/GstPipeline:pipeline0/GstV4l2Src:device:",
        ),
        (
            "bluez.AA_BB_CC_DD_EE_0F.x aa:bb:cc:dd:ee:0f",
            "bluez.mac-1.x mac-2",
        ),
        (
            "pci-0000:00:14.0-usb-0:5:1.0",
            "pci-0000:00:14.0-usb-0:5:1.0",
        ),
        (
            "sha-256 0A:1B:2C:3D:4E:5F:60:71:82:93",
            "sha-256 fingerprint-1",
        ),
        ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "id-1"),
        ("10000000abcdef01", "id-2"),
        ("K7QH-9M2P-XXTR-0A1B-ZZ9K-QWER-77YT", "key-1"),
        ("Pd6ZN5pSPyS50bjbGMaiQjVbgPSnlftQZoaGl6tddmY", "key-2"),
        (
            "rtspsrc user-id=cam user-pw=x",
            "rtspsrc user-id=name-1 user-pw=…",
        ),
        (
            "ssid=\"Berg 5\" password=\"a b\"",
            "ssid=\"name-2\" password=…",
        ),
        (
            "gstv4l2object.c GstVideoEncoder",
            "gstv4l2object.c GstVideoEncoder",
        ),
    ] {
        assert_eq!(r.prose(text), shown, "{text}");
    }
}

#[test]
fn a_link_loses_its_serial_number_and_keeps_its_model() {
    let mut r = redactor();
    for (path, card, shown) in [
        (
            "/dev/v4l/by-id/usb-046d_HD_C920_77AB-video-index0",
            "HD C920",
            "HD_C920_serial-1-video",
        ),
        (
            "/dev/v4l/by-id/usb-046d_HD_C920-video-index0",
            "HD C920",
            "usb-046d_HD_C920-video-index0",
        ),
        (
            "/dev/v4l/by-id/usb-ACME-video-index0",
            "HD",
            "usb-ACME-video-index0",
        ),
        (
            "/dev/v4l/by-id/usb-ACME_Cam_Cam7-video-index1",
            "Cam",
            "ACME_Cam_serial-2-video-index1",
        ),
    ] {
        let given = r.device(path, card);
        assert!(given.contains(shown), "{given}");
        // Where else it stands, the same.
        assert_eq!(r.ours(&format!("camera {path}")), format!("camera {given}"));
        assert_eq!(r.prose(&format!("{path}: gone")), format!("{given}: gone"));
    }
    let unknown = r.prose("/dev/v4l/by-id/usb-ACME_Cam_12345678-video-index0 is gone");
    assert_eq!(
        unknown,
        "/dev/v4l/by-id/usb-ACME_Cam_serial-3-video-index0 is gone"
    );
    assert_eq!(r.card("Anna’s headset"), "name-1’s headset");
}

#[test]
fn a_device_that_is_called_after_its_owner_is_so_no_more() {
    let mut r = redactor();
    for (card, shown) in [
        ("Anna Berg's headset", "name-1's headset"),
        ("UVC Camera: Otto Graf’s", "UVC Camera: name-2’s"),
        ("Headset von Rike Maria Sand", "Headset von name-3"),
        ("iPhone de José: camera", "iPhone de name-4: camera"),
        ("太郎のカメラ", "name-5のカメラ"),
        ("HD Pro Webcam C920", "HD Pro Webcam C920"),
        (
            "Integrated Camera: Integrated C",
            "Integrated Camera: Integrated C",
        ),
    ] {
        assert_eq!(r.card(card), shown);
        // And where somebody speaks of it.
        assert_eq!(
            r.prose(&format!("{card} is silent")),
            format!("{shown} is silent")
        );
    }
    assert_eq!(r.prose("call of Otto Graf"), "call of name-2");
}

#[test]
fn hosts_in_a_pipeline_go_however_they_stand_there() {
    let mut r = redactor();
    for (text, shown) in [
        (
            "tcpclientsrc host=frontdoor port=5000 ! h264parse",
            "tcpclientsrc host=host-1 port=5000 ! h264parse",
        ),
        (
            "tcpclientsrc host=\"cam.example.org\" ! tee name=t t.src_0 ! queue",
            "tcpclientsrc host=\"host-2\" ! tee name=t t.src_0 ! queue",
        ),
        (
            "souphttpsrc location=http://cam.example.org/x proxy=gate:8080",
            "souphttpsrc location=http://host-2/… proxy=host-3:8080",
        ),
        ("udpsrc address=192.0.2.7 ! x", "udpsrc address=ip-1 ! x"),
        (
            "udpsrc address=127.0.0.1 port=1",
            "udpsrc address=127.0.0.1 port=1",
        ),
        ("x clients=one.example.org:5,b", "x clients=host-4:5,b"),
        (
            "videotestsrc pattern=ball ! video/x-raw,framerate=30/1 ! t.",
            "videotestsrc pattern=ball ! video/x-raw,framerate=30/1 ! t.",
        ),
    ] {
        assert_eq!(r.setting(text), shown, "{text}");
        // The plan says it again.
        assert_eq!(
            r.ours(&format!("{text} ! appsink")),
            format!("{shown} ! appsink")
        );
    }
    // And what an element says of it.
    assert_eq!(
        r.prose("cannot connect to frontdoor"),
        "cannot connect to host-1"
    );
}

#[test]
fn names_in_a_log_go_wherever_they_stand() {
    let mut r = redactor();
    let lines = [
        " INFO call caller=x session=9 Otto session=1 codec=H264 label=Otto's phone key=0mmOlyWT6y8",
        " INFO viewer{caller=Otto session=2}: viewer gone session=1}: fps=3",
        " INFO call ended caller=Rike session=2 reason=\"the viewer closed the connection\"",
        " WARN no chat server server=ws://hut.example/ reason=nobody listens there",
        " WARN call refused: offer of Rike caller=a label=Nobody key=x why=no proof",
        " WARN the chat server gave us another name given=hut 2 wanted=hut;",
        r#"{"level":"INFO","caller":"Rike","message":"call","span":{"caller":"Rike","name":"viewer"}}"#,
    ];
    let shown = r.log(lines.iter().copied()).join("\n");
    for name in [
        "Otto",
        "phone",
        "Rike",
        "0mmOlyWT6y8",
        "hut",
        "Nobody",
        "=a ",
    ] {
        assert!(!shown.contains(name), "{name}: {shown}");
    }
    for part in [
        "session=1 codec=H264",
        "reason=\"the viewer closed the connection\"",
        "server=ws://host-",
        "nobody listens there",
        "fps=3",
        "\"message\":\"call\"",
        "why=no proof",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn a_text_without_an_end_is_cut_and_one_line() {
    let mut r = redactor();
    let long = r.prose(&"é\n".repeat(LONGEST));
    assert!(
        long.len() < LONGEST + 8 && !long.contains('\n'),
        "{}",
        long.len()
    );
}

proptest! {
    /// Any name, wherever a line of ours has one, and whatever is known.
    #[test]
    fn no_name_of_a_log_comes_through(
        name in "[ -~äß€]{0,8}Zq[a-z]{7,9}[ -~äß€]{0,12}",
        session in 1_u32..99,
    ) {
        let name = name.trim();
        let lower = |part: &str| part.chars().take_while(char::is_ascii_lowercase).collect();
        let parts = name.split("Zq").skip(1).map(lower);
        let secret: String = parts.max_by_key(String::len).expect("one");
        let mut r = redactor();
        let lines = [
            format!(" INFO call caller={name} session={session} codec=H264"),
            format!(" INFO connected caller={name} session={session}"),
            format!(" INFO viewer{{caller={name} session={session}}}: started"),
            format!(" INFO an invited person's call: ended caller=b label={name} key=AAAAAAAAAAA seconds=3 why=\"left\""),
            format!(" INFO left out caller={name} broadcast=true"),
            serde_json::json!({"caller": name, "message": "call"}).to_string(),
        ];
        let shown = r.log(lines.iter().map(String::as_str)).join("\n");
        prop_assert!(!shown.contains(&secret), "{shown}");
        prop_assert!(shown.contains(&format!("session={session}")), "{shown}");
    }

    /// Whatever the text, it is one line, and bounded.
    #[test]
    fn any_text_is_taken(text in "\\PC{0,80}") {
        let mut r = redactor();
        let once = r.prose(&text);
        prop_assert!(once.len() <= text.len() * 12 + 12, "{once}");
        prop_assert!(!once.contains(char::is_control));
    }
}
