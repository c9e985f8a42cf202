"""What a picture shows of other views."""
