"""Model 3: compliance with the discharge permit after it was issued, rule by rule and three-valued."""
