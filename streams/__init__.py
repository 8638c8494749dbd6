"""The parties and the collector: folds over Kafka topics. A party sees one share of every reading, never a reading."""
