//! What who opened a channel may.

use crate::access::{Guest, Right};

/// Where everybody is let in they may what the configuration lets everybody.
pub(super) fn may_control(guest: Option<&Guest>) -> bool {
    guest.is_none_or(|guest| guest.may(Right::Control, true))
}

/// Only who was invited to: strangers neither blind a camera nor open it.
pub(super) fn may_switch(guest: Option<&Guest>) -> bool {
    guest.is_some_and(|guest| guest.may.has(Right::Control))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Gate, Guests, Invitation, Invite, May, Mode, Stage};
    use crate::wire::UserName;

    #[test]
    fn at_an_open_camera_who_was_invited_has_what_everybody_has_and_their_own() {
        let wants = [
            // The words; may control, may switch: at an open camera and at another.
            ("watch", (true, false), (false, false)),
            ("talk", (true, false), (false, false)),
            ("watch,control", (true, true), (true, true)),
        ];
        for (words, open, invited) in wants {
            let invite = Invite::of([7; 16]);
            let invitation = Invitation {
                label: UserName::parse("bob").expect("a name"),
                may: May::parse(words).expect("rights"),
                made: 1,
                until: None,
                stage: Stage::Shared,
                key: (invite.id(), invite.key()),
                given: Vec::new(),
            };
            let guests = Guests::of(&[invitation], 10);
            let guest = guests.get(invite.id()).expect("invited");
            for (mode, wanted) in [(Mode::Open, open), (Mode::Invited, invited)] {
                let gate = Gate::new(mode, "camera", [0xdd; 32]);
                let guest = gate.admits(guest);
                let may = (may_control(Some(&guest)), may_switch(Some(&guest)));
                assert_eq!(may, wanted, "{words}, {mode:?}");
                // Picture and sound are everybody's; what was recorded is nobody's.
                let open = mode == Mode::Open;
                assert_eq!(guest.may.has(Right::Listen), open);
                assert!(!guest.may.has(Right::Recordings));
            }
        }
        assert!(may_control(None) && !may_switch(None));
    }
}
