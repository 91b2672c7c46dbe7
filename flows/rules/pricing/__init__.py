"""Line items to prices: discounts, fees, taxes, currencies."""
