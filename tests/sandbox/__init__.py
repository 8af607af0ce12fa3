"""The sandbox portal is only worth testing with if it behaves as the facts say."""
