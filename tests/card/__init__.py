"""The card in the chat: its tool, and the card itself in a host that is not ours."""
