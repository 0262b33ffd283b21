"""The nouns and verbs that the stages share; testable without DVC, network or GPU."""
