// Command house measures the code of this repository.
package main

func main() {}
