#include <stdio.h>

int main(void) {
    puts("dice");
    return 0;
}
