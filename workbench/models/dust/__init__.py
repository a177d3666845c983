"""Model of fugitive dust: excess at the fence over the regional background, and what labelled clips show."""
