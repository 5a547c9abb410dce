"""What the twin's engine costs, on plants of any size, beside other ways to compute the same equations."""
