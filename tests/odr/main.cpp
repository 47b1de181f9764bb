int checked();
int unchecked();

int main() { return checked() == 70 && unchecked() == 70 ? 0 : 1; }
