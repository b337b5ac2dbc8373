"""The hands of :class:`blnk_relay.Operator`, by what they are laid on."""
