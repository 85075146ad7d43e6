//! What to do about a [`MediaError`], for the checks that meet one.

use crate::media::error::MediaError;

/// The command that installs a Debian package.
pub(super) fn install(package: &str) -> String {
    format!("sudo apt-get install {package}")
}

/// What to do; the error's own words say what is wrong.
pub(super) fn of(error: &MediaError) -> String {
    match error {
        MediaError::Init(_) => install("gstreamer1.0-plugins-base"),
        MediaError::MissingElement { package, .. } => install(package),
        MediaError::NoEncoder { .. } => {
            "install an encoder (sudo apt-get install gstreamer1.0-plugins-ugly has x264), or \
             change video.encoder or the picture's size"
                .into()
        }
        MediaError::UnknownEncoder { .. } => "set video.encoder = \"auto\"".into(),
        MediaError::NoCamera => {
            "plug a camera in, name its node in video.device, or set video.source = \"test\"".into()
        }
        MediaError::Camera { .. } => {
            "check cable and name: `ls -l /dev/v4l/by-id` shows the cameras that are there; put \
             one of them, or \"auto\", in video.device"
                .into()
        }
        MediaError::NoMicrophone => {
            "plug a microphone in, name its PCM (`arecord -L`) in audio.device, or set \
             audio.source = \"none\""
                .into()
        }
        MediaError::Description { key, .. } => {
            format!("try the description with `gst-launch-1.0 … ! fakesink` and correct {key}")
        }
        MediaError::Led { .. } => {
            "name one of `ls /sys/class/leds` in led.path and give the service the drop-in \
             /usr/share/camera-agent/boards/led.conf, or remove led.path"
                .into()
        }
        MediaError::Stalled(_) => "unplug the device and plug it in again".into(),
        MediaError::Pipeline { .. } => {
            "see that it is plugged in and that no other program uses it; GST_DEBUG=3 in the \
             environment shows what GStreamer has to say"
                .into()
        }
    }
}
