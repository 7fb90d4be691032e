# Install the study in Colab: called by the first cell of every notebook. What Colab has of these stays as it is.
set -e
cd "$(dirname "$0")"
held=$(mktemp)
pip list --format=freeze 2>/dev/null | grep -E '^(numpy|tensorflow|keras|jax|torch)==' > "$held"
pip install --quiet --constraint "$held" "..[notebooks,prototypes]"
